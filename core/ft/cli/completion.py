"""Shell completion of component names, models, weights and settings: `eval "$(_FT_COMPLETE=bash_source ft)"`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

from ft.errors import FtError
from ft.extensions import KINDS
from ft.plugins import Plugins, load_plugins, settings_class
from ft.references import parse_reference

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]
Offer = tuple[str, str]
"""What may be typed, and what it means."""


def _completing(offers: Callable[[click.Context, Plugins], Iterable[Offer]]) -> Complete:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        try:
            found = list(offers(ctx, load_plugins()))
        except FtError:  # while somebody is typing is no time to explain
            return []
        return [CompletionItem(text, help=about) for text, about in found if text.startswith(incomplete)]

    return complete


def _backbones(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    from ft.catalogue import list_models

    yield from ((f"{component.name}:{model}", component.record.summary) for component, model in list_models(plugins)[0])


def _references(kind: str) -> Callable[[click.Context, Plugins], Iterator[Offer]]:
    def offers(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
        for component in plugins.components(kind):
            takes_argument = ":" in getattr(component.record, "example", "")
            yield f"{component.name}:" if takes_argument else component.name, component.record.summary

    return offers


def _heads(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    yield from _references("head")(ctx, plugins)
    yield "keep", "the pretrained classifier"


def _weights(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    yield "none", "random weights"
    yield "default", "the first of the model's entries"
    if use := ctx.params.get("backbone"):
        from ft.catalogue import find_model, weight_entries

        yield from ((entry.name, entry.note) for entry in weight_entries(*find_model(use, plugins)))
    yield from _references("weights")(ctx, plugins)


def _described(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    for component in plugins.components():
        yield f"{component.kind.name}:{component.name}", component.record.summary


def _distributions(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    yield from dict.fromkeys((plugin.distribution, f"version {plugin.version}") for plugin in plugins.all)


def _sets(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    """Every key of the config, and every setting of the components that the line names so far."""
    from ft.config import Config

    yield from _keys(Config, "")
    for kind in KINDS:
        use = ctx.params.get(kind) or getattr(Config.model_fields[kind].default, "use", None)
        if use and kind != "freeze":
            reference = parse_reference(use)
            if plugins.has(kind, reference.name):
                yield from _keys(settings_class(plugins.get(kind, reference)), f"{kind}.")


def _keys(model: Any, prefix: str) -> Iterator[Offer]:
    for name, field in model.model_fields.items():
        below = field.annotation
        if not prefix and hasattr(below, "model_fields"):
            yield from _keys(below, f"{name}.")
            continue
        about = field.description or ""
        yield f"{prefix}{name}=", about
        for kind in (below, *get_args(below)):
            if get_origin(kind) is Literal:
                yield from ((f"{prefix}{name}={value}", about) for value in get_args(kind))


complete_described = _completing(_described)
complete_distribution = _completing(_distributions)
complete_set = _completing(_sets)
COMPLETE: dict[str, Complete] = {
    "--backbone": _completing(_backbones),
    "--freeze": _completing(_references("freeze")),
    "--train": _completing(_references("freeze")),
    "--head": _completing(_heads),
    "--weights": _completing(_weights),
    "--weight-source": _completing(_references("weights")),
    "--data": _completing(_references("data")),
}
"""By flag."""


class _Bash(BashComplete):
    """bash hands over `torchvision:vg` as three words, and replaces only what stands after the colon."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        *before, self.typed = _glued([*words[1:place], words[place] if place < len(words) else ""])
        return before, self.typed

    def format_completion(self, item: CompletionItem[str]) -> str:
        typed = self.typed.partition("=")[2] if self.typed.startswith("--") else self.typed
        done = max(typed.rfind(mark) for mark in ":=") + 1
        return f"{item.type},{item.value[done:]}"


def _glued(words: list[str]) -> list[str]:
    """Put together what bash cut at ":" and "="."""
    made = [""]
    for number, word in enumerate(words):
        if number and word not in (":", "=") and words[number - 1] not in (":", "="):
            made.append("")
        made[-1] += word
    return made


add_completion_class(_Bash)
