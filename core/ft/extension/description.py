"""What can be said of a component: its documentation, an example, and what each of its settings means."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from ft.extension.installed import Component, settings_class
from ft.extension.packaged import documentation


@dataclass(frozen=True)
class SettingRow:
    """One setting as people read it: its key, its type with its limits, its default as JSON, and what it does."""

    key: str
    type: str
    default: str
    description: str


@dataclass(frozen=True)
class Description:
    """A component as `ft describe` shows it. `example` and `how_to_set` are "" where there is nothing to say."""

    title: str
    origin: str
    summary: str
    documentation: str
    example: str
    settings: tuple[SettingRow, ...]
    how_to_set: str


def describe(component: Component) -> Description:
    """Everything there is to say about a component. Imports its implementation, or reads its file."""
    schema = settings_class(component).model_json_schema()
    settings = tuple(_setting_row(key, about) for key, about in schema.get("properties", {}).items())
    return Description(
        title=f"{component.kind.noun} {component.name}",
        origin=f"{component.distribution} {component.version}",
        summary=component.record.summary,
        documentation=documentation(component),
        example=_example(component),
        settings=settings,
        how_to_set=_how_to_set(component, settings[0].key) if settings else "",
    )


def _example(component: Component) -> str:
    """A command that uses the component, as its record's example shows, or by its name where that is a reference."""
    kind = component.kind
    use = getattr(component.record, "example", "") or (component.name if kind.named_alone else "")
    return f"{kind.command} {kind.key.flag} {shlex.quote(use)}" if use else ""


def _how_to_set(component: Component, key: str) -> str:
    own = component.kind.key
    several = f"; where there are several, the first one's with --set {own.path}.0.{key}=..." if own.several else ""
    return f"Give one with --set {own.path}.{key}=...{several}"


def _setting_row(key: str, about: dict[str, Any]) -> SettingRow:
    variants = about.get("anyOf", [about])
    types = " or ".join(_type(variant) for variant in variants)
    limits = [f"{word} {about[rule]}" for rule, word in _LIMITS.items() if rule in about]
    default = json.dumps(about["default"]) if "default" in about else "required"
    return SettingRow(key, ", ".join([types, *limits]), default, about.get("description", ""))


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(variant: dict[str, Any]) -> str:
    if "enum" in variant or "const" in variant:
        return " | ".join(json.dumps(value) for value in variant.get("enum", [variant.get("const")]))
    if variant.get("type") == "array":
        return f"list of {_type(variant.get('items', {}))}"
    return str(variant.get("type", "any"))
