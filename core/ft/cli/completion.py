"""Shell completion of component names, models, weights and settings: `eval "$(_FT_COMPLETE=bash_source ft)"`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from ft.cli.shells import paths
from ft.config.flags import variable
from ft.errors import FtError
from ft.extension.installed import Plugins, load_plugins, settings_class
from ft.extension.kinds import KINDS, Key, Kind
from ft.extension.packaged import FILES
from ft.extension.references import parse_reference

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]
Offer = tuple[str, str]
"""What may be typed, and what it means."""
Offers = Callable[[click.Context, Plugins], Iterable[Offer]]
ByPath = Callable[[Plugins, str], Iterable[str]]
"""The paths that may follow what was typed."""


def _completing(offers: Offers, by_path: ByPath | None = None) -> Complete:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        plugins = load_plugins()
        try:
            found = list(offers(ctx, plugins))
        except FtError:  # while somebody is typing is no time to explain
            found = []
        made = [CompletionItem(text, help=about) for text, about in found if text.startswith(incomplete)]
        return made + [CompletionItem(path) for path in (by_path(plugins, incomplete) if by_path else ())]

    return complete


def _code(plugins: Plugins, typed: str) -> Iterator[str]:
    """Components where they lie: `./my_freeze.py:MyFreeze`. The file is read, and not run."""
    file, colon, begun = typed.partition(".py:")
    if colon:
        yield from (f"{file}.py:{name}" for name in _defined(f"{file}.py") if name.startswith(begun))
    elif typed.startswith((".", "/", "~")):
        yield from (path if path.endswith("/") else f"{path}:" for path in paths(typed, (".py",)))


def _defined(file: str) -> list[str]:
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read(2**20))
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def _after(kind: str) -> ByPath:
    """Paths after the name of a component that takes one, as its example shows: `local:./resnet50.pth`."""

    def by_path(plugins: Plugins, typed: str) -> Iterator[str]:
        name, colon, path = typed.partition(":")
        for component in plugins.components(kind):
            if colon and component.name == name and ":./" in getattr(component.record, "example", ""):
                yield from (f"{name}:{each}" for each in paths(path))
        yield from _code(plugins, typed)

    return by_path


def _data(plugins: Plugins, typed: str) -> Iterator[str]:
    """Paths, with or without the name of what reads them."""
    code = list(_code(plugins, typed))
    yield from dict.fromkeys([*code, *paths(typed, ("",)), *_after("data")(plugins, typed)])


def _recipes(plugins: Plugins, typed: str) -> Iterator[str]:
    """Files of one's own."""
    yield from paths(typed, FILES)


def _backbones(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    from ft.model.catalogue import list_models

    yield from ((f"{component.name}:{model}", component.record.summary) for component, model in list_models(plugins)[0])


def _references(kind: str) -> Offers:
    def offers(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
        for component in plugins.components(kind):
            takes_argument = ":" in getattr(component.record, "example", "")
            yield f"{component.name}:" if takes_argument else component.name, component.record.summary

    return offers


def _weights(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    """The entries of the backbone that the line names."""
    if use := ctx.params.get("backbone"):
        from ft.model.catalogue import find_model, weight_entries

        yield from ((entry.name, entry.note) for entry in weight_entries(*find_model(use, plugins)))


def _described(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    for component in plugins.components():
        yield f"{component.kind.name}:{component.name}", component.record.summary


def _distributions(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    yield from dict.fromkeys((plugin.distribution, f"version {plugin.version}") for plugin in plugins.all)


def _sets(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
    """Every key of the config, and every setting of the components that the line names so far."""
    from ft.config.schema import Config

    yield from _keys(Config, "")
    for kind in KINDS.values():
        for key in kind.keys:
            yield from ((f"{key.path}={use}", about) for use, about in _references(kind.name)(ctx, plugins))
            uses = list(_uses(ctx, key)) if key.flag else []
            for number, use in enumerate(uses):
                yield from _settings_of(kind.name, use, key.path if len(uses) == 1 else f"{key.path}.{number}", plugins)


def _uses(ctx: click.Context, key: Key) -> Iterator[str]:
    """The components that the line names by a flag; where it names none, the usual one."""
    from ft.config.schema import field_at

    typed = ctx.params.get(variable(key.flag))
    if key.several:
        yield from typed or ()
    elif use := typed or getattr(field_at(key.path).default, "use", None):
        yield use


def _settings_of(kind: str, use: str, key: str, plugins: Plugins) -> Iterator[Offer]:
    """Every setting of the component that is named, below the `key` under which it stands."""
    reference = parse_reference(use)
    if reference.place == "plugin" and plugins.has(kind, reference.name):
        yield from _keys(settings_class(plugins.get(kind, reference)), f"{key}.")


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


complete_format = _completing(_references("exporter"))
complete_described = _completing(_described)
complete_distribution = _completing(_distributions)
complete_set = _completing(_sets)
_OFFERS: dict[str, Offers] = {"backbone": _backbones, "weights": _weights}
"""By key: what is offered there beside the names of components, or in their place where a name alone is nothing."""
_BY_PATH: dict[str, ByPath] = {"data": _data, "recipe": _recipes}


def _at_flag(kind: Kind, key: Key) -> Complete:
    more, references = _OFFERS.get(key.path), _references(kind.name)

    def offers(ctx: click.Context, plugins: Plugins) -> Iterator[Offer]:
        yield from key.words.items()
        yield from more(ctx, plugins) if more else ()
        yield from references(ctx, plugins) if kind.named_alone else ()

    return _completing(offers, _BY_PATH.get(key.path, _after(kind.name)))


COMPLETE = {key.flag: _at_flag(kind, key) for kind in KINDS.values() for key in kind.keys if key.flag}
"""By flag."""
complete_data = COMPLETE["--data"]
complete_backbone = COMPLETE["--backbone"]
