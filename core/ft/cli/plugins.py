"""`ft plugins` and `ft describe`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from ft.cli.common import hand_json_on, load_and_report, no_plugin_option
from ft.cli.completion import complete_described
from ft.cli.plugin_check import check
from ft.cli.plugin_new import new
from ft.cli.plugin_why import why
from ft.cli.printing import tell, tell_json, tell_prose, tell_title
from ft.errors import FtError, nearest
from ft.extension.installed import Component, implementation, settings_class
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@no_plugin_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List what is installed, and where it came from; `ft plugins new` starts a plugin of your own."""
    hand_json_on(ctx, as_json)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins, as_json=as_json)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_plugins(as_json: bool) -> None:
    """List components: kind, name, distribution, version, state, and how long importing the plugin took."""
    installed = load_and_report()
    owner = {component: plugin for plugin in installed.all for component in plugin.components}
    found: list[tuple[Any, ...]] = [
        (c.kind.name, c.name, c.distribution, c.version, "ok", c.record.summary, owner[c])
        for c in installed.components()
    ]
    unused = [plugin for plugin in installed.all if plugin.state != "ok"]
    found += [("?", p.name, p.distribution, p.version, p.state, p.error, p) for p in unused]
    found = [(*row, round(plugin.seconds * 1000, 1), plugin.warning) for *row, plugin in found]
    if as_json:
        keys = ("kind", "name", "distribution", "version", "state", "summary", "import_ms", "warning")
        tell_json([dict(zip(keys, row, strict=True)) for row in found])
        return
    from ft.machine.layout import print_table

    rows = [
        (kind, name, f"{dist} {version}", state, f"{ms:.0f} ms", text)
        for kind, name, dist, version, state, text, ms, _ in found
    ]
    headers = ("kind", "name", "distribution", "state", "import", "what it does")
    spare = ("import", *(() if unused else ("state",)))
    print_table(headers, rows, right=("import",), cut="what it does", squeeze="distribution", spare=spare)


plugins.add_command(new)
plugins.add_command(why)
plugins.add_command(check)


@click.command()
@click.argument("component", metavar="KIND:NAME", shell_complete=complete_described)
@click.option("--json", "as_json", is_flag=True, help="print the settings' JSON schema")
def describe(component: str, as_json: bool) -> None:
    """Explain a component and its settings, as in `ft describe freeze:regex`."""
    kind, colon, name = component.partition(":")
    installed = load_and_report()
    if not colon or kind not in KINDS:
        whole = {kind: kind for kind in KINDS} | {c.name: f"{c.kind.name}:{c.name}" for c in installed.components()}
        near = [whole[name] for name in nearest(kind, whole, most=1)]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise FtError(f"write KIND:NAME, as in freeze:regex.{hint} Kinds: {', '.join(KINDS)}")
    found = installed.get(kind, parse_reference(name))
    if as_json:
        tell_json(settings_class(found).model_json_schema())
    else:
        print_component(found)


def print_component(found: Component) -> None:
    """Print what a component is, its documentation, an example and its settings."""
    from ft.machine.layout import print_table

    schema = settings_class(found).model_json_schema()

    tell_title(f"{found.kind.noun} {found.name}", f"   from {found.distribution} {found.version}")
    tell_prose(f"\n{found.record.summary}")
    if doc := _documentation(found):
        tell_prose(f"\n{doc}")
    if example := _example(found):
        tell_prose(f"\n  {example}")
    rows = [_setting_row(key, about) for key, about in schema.get("properties", {}).items()]
    tell_prose("\nSettings:" if rows else "\nIt takes no settings.")
    if rows:
        print_table(("setting", "type", "default", "what it does"), rows, prose="what it does")
        tell(_how_to_set(found, rows[0][0]))


def _documentation(found: Component) -> str:
    return inspect.getdoc(implementation(found, found.kind.callables[-1])) or ""


def _example(found: Component) -> str:
    example = getattr(found.record, "example", "")
    flag = {"weights": "--weights", "freeze": "--freeze", "data": "--data"}.get(found.kind.name)
    if found.kind.name == "head":
        return f"ft run --backbone torchvision:resnet18 --head {found.name}"
    return f"ft run {flag} '{example}'" if flag and example else ""


def _how_to_set(found: Component, key: str) -> str:
    kind = found.kind.name
    several = f"; where there are several, the first one's with --set {kind}.0.{key}=..." if kind == "freeze" else ""
    return f"Give one with --set {kind}.{key}=...{several}"


def _setting_row(key: str, about: dict[str, Any]) -> tuple[str, str, str, str]:
    variants = about.get("anyOf", [about])
    types = " or ".join(_type(variant) for variant in variants)
    limits = [f"{word} {about[rule]}" for rule, word in _LIMITS.items() if rule in about]
    default = json.dumps(about["default"]) if "default" in about else "required"
    return key, ", ".join([types, *limits]), default, about.get("description", "")


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(variant: dict[str, Any]) -> str:
    if "enum" in variant or "const" in variant:
        return " | ".join(json.dumps(value) for value in variant.get("enum", [variant.get("const")]))
    if variant.get("type") == "array":
        return f"list of {_type(variant.get('items', {}))}"
    return str(variant.get("type", "any"))
