"""What several commands need."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ft.plugins import Plugins

F = TypeVar("F", bound=Callable[..., Any])


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


def load_and_report() -> Plugins:
    """Load the installed plugins but those of `--no-plugin`; each broken one costs a line on stderr."""
    from ft.plugins import load_plugins  # `ft --help` does without

    context = click.get_current_context(silent=True)
    plugins = load_plugins(no_plugin=context.find_root().meta.get(_LEFT_OUT, ()) if context else ())
    for plugin in plugins.broken():
        name = f"{plugin.distribution} {plugin.version} ({plugin.module})"
        click.secho(f"warning: plugin {name} could not be loaded: {plugin.error}", fg="yellow", err=True)
    return plugins


_LEFT_OUT = "ft.no_plugin"


def _leave_out(context: click.Context, _: click.Parameter, names: tuple[str, ...]) -> None:
    meta = context.find_root().meta
    meta[_LEFT_OUT] = (*meta.get(_LEFT_OUT, ()), *names)
