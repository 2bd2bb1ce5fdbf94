"""The flags of `ft run` and `ft plan`: each sets one key of the config, and is described by that key's field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from ft.cli.completion import COMPLETE, complete_set
from ft.config.flags import FLAGS, ON_RESUME, changes_on_resume, variable
from ft.config.loading import load_config
from ft.config.recipes import said_by
from ft.config.schema import Config, field_at
from ft.config.starting import STARTS
from ft.errors import FtError
from ft.extension.installed import Plugins

F = TypeVar("F", bound=Callable[..., Any])


def config_options(command: F) -> F:
    """Give a command the flags above, `--config` and `--set`; it gets them all as keyword arguments."""
    command = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_set,
        help="set any key of the config",
    )(command)
    command = click.option(
        "--config", "file", type=click.Path(path_type=Path), help="YAML or JSON; flags and --set win over it"
    )(command)
    for flag, key, text, several in reversed(FLAGS):
        command = _option(flag, key, text, several)(command)
    return command


def config_from(file: Path | None, sets: tuple[str, ...], given: dict[str, Any], plugins: Plugins) -> Config:
    """The config that a command's arguments amount to. Raises FtError."""
    chosen = chosen_flags(given)
    named = not chosen.keys().isdisjoint(STARTS) or "backbone" in said_by(chosen.get("recipe"), plugins)
    if file is None and not sets and not named:
        raise FtError("which backbone? Write --backbone PROVIDER:MODEL, as in torchvision:resnet18 (see ft models)")
    return load_config(file, sets, chosen, plugins)


def changes_from(file: Path | None, sets: tuple[str, ...], given: dict[str, Any], plugins: Plugins) -> dict[str, Any]:
    """What a command's arguments change in the config of a run that goes on. Raises FtError for what may not."""
    chosen = chosen_flags(given)
    typed = [flag.partition("/")[0] for flag, key, _, _ in FLAGS if key in chosen]
    others = [flag for flag in typed if flag not in ON_RESUME] + ["--set"] * bool(sets) + ["--config"] * bool(file)
    if others:
        raise FtError(
            f"--resume continues a run as it was started; leave out {', '.join(others)}. "
            f"Beside it there may be {', '.join(ON_RESUME)}"
        )
    return changes_on_resume(chosen, plugins)


def words_of(
    file: Path | None, sets: tuple[str, ...], given: dict[str, Any], without: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a command's arguments as they may be typed again, `without` those that set these keys."""
    if file is not None:
        yield from ("--config", str(file))
    for flag, key, _, _ in FLAGS:
        value = given[variable(flag)]
        if value in (None, ()) or key in without:
            continue
        on, _, off = flag.partition("/")
        if off:
            yield on if value else off
            continue
        for each in value if isinstance(value, tuple) else (value,):
            yield from (on, str(each))
    short = {key.rpartition(".")[2] for key in without}  # as --set takes them, too
    for each in sets:
        if each.partition("=")[0].strip() not in {*without, *short}:
            yield from ("--set", each)


def chosen_flags(given: dict[str, Any]) -> dict[str, Any]:
    """The keys whose flags were typed."""
    values = {key: given[variable(flag)] for flag, key, _, _ in FLAGS}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if v not in (None, ())}


def _option(flag: str, key: str, text: str, several: bool) -> Callable[[F], F]:
    field = field_at(key)
    about = text or field.description or ""
    if not several and not field.is_required() and field.default is not None and "default" not in about:
        about = "; ".join(part for part in (about, f"default: {getattr(field.default, 'use', field.default)}") if part)
    kind = {} if "/" in flag else {"type": _click_type(field.annotation), "metavar": _metavar(flag, field.annotation)}
    return click.option(
        flag,
        variable(flag),
        default=() if several else None,
        multiple=several,
        shell_complete=COMPLETE.get(flag),
        help=about,
        **kind,
    )


def _click_type(annotation: Any) -> Any:
    options = [a for a in (get_args(annotation) or (annotation,)) if a is not type(None)]
    if get_origin(annotation) is Literal:
        return click.Choice(list(get_args(annotation)))
    if len(options) == 1 and options[0] in (int, float):
        return options[0]
    return str


def _metavar(flag: str, annotation: Any) -> str | None:
    return None if get_origin(annotation) is Literal else variable(flag).upper().split("_")[-1]
