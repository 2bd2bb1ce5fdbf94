"""What several commands need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ft.cli.printing import warn

if TYPE_CHECKING:
    from ft.extension.installed import Plugins

F = TypeVar("F", bound=Callable[..., Any])


class HelpingGroup(click.Group):
    """A group that prints its help, as with --help, where it is typed alone: that is a question, and no mistake."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def no_plugin_option(command: F) -> F:
    """Give a command `--no-plugin NAME`, which `load_and_report` heeds wherever in the line it stands."""
    return click.option(
        "--no-plugin",
        multiple=True,
        metavar="NAME",
        expose_value=False,
        callback=_leave_out,
        help="leave out a plugin: its distribution or entry point; repeat for more",
    )(command)


def hand_json_on(context: click.Context, as_json: bool) -> None:
    """`ft models --json 'resnet*'` is `ft models list --json 'resnet*'`: a group's --json is its subcommand's.

    Raises UsageError for a subcommand that prints no JSON.
    """
    name = context.invoked_subcommand
    if not as_json or name is None:
        return
    command = context.command.get_command(context, name)  # type: ignore[attr-defined]
    if not any(parameter.name == "as_json" for parameter in command.params):
        raise click.UsageError(f"{context.command_path} {name} prints no JSON", context)
    context.default_map = {name: {"as_json": True}}


def load_and_report(speaks: bool = True) -> Plugins:
    """Load the installed plugins but those of `--no-plugin`; each broken or slow one costs a line on stderr, where this
    process `speaks`."""
    from ft.extension.installed import load_plugins, troubles  # `ft --help` does without

    plugins = load_plugins(no_plugin=left_out())
    for trouble in troubles(plugins) if speaks else ():
        warn(trouble)
    return plugins


def left_out() -> tuple[str, ...]:
    """The plugins of `--no-plugin`."""
    context = click.get_current_context(silent=True)
    names: tuple[str, ...] = context.find_root().meta.get(_LEFT_OUT, ()) if context else ()
    return names


_LEFT_OUT = "ft.no_plugin"


def _leave_out(context: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    meta = context.find_root().meta
    meta[_LEFT_OUT] = (*meta.get(_LEFT_OUT, ()), *names)
