"""`ft models` and `ft models show`."""

from __future__ import annotations

import fnmatch
from typing import Any

import click

from ft.cli.common import hand_json_on, load_and_report
from ft.cli.printing import tell, tell_json, warn


class _DefaultToList(click.Group):
    """`ft models PATTERN` is `ft models list PATTERN`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["list", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_DefaultToList, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List backbones, all or those that match a pattern: `ft models 'resnet*'`. `ft models show NAME` describes one."""
    hand_json_on(ctx, as_json)
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models, pattern="", as_json=as_json)


@models.command("list")
@click.argument("pattern", default="")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_models(pattern: str, as_json: bool) -> None:
    """List backbones whose name contains PATTERN, or matches it where it has a * or ?."""
    from ft.catalogue import list_models
    from ft.errors import FtError, nearest

    listed, reasons = list_models(load_and_report())
    for reason in reasons:
        warn(reason, "not listed")
    names = [f"{component.name}:{name}" for component, name in listed]
    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    found = [name for name in names if fnmatch.fnmatch(name, glob) or fnmatch.fnmatch(name.partition(":")[2], glob)]
    if not found:
        near = nearest(pattern, [name.partition(":")[2] for name in names])
        hint = f"; near: {', '.join(near)}" if near else ""
        raise FtError(f"no backbone matches '{pattern}' among {len(names)}{hint}")
    if as_json:
        tell_json(found)
    else:
        tell(*found)


@models.command("show")
@click.argument("name", metavar="PROVIDER:MODEL")
@click.option("--parameters/--no-parameters", default=True, help="list every parameter name; default: yes")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(name: str, parameters: bool, as_json: bool) -> None:
    """Show a backbone's stages, parameter names and weights, without fetching any."""
    from ft.cli.tables import print_model
    from ft.display import Display
    from ft.inspection import inspect_model

    about: dict[str, Any] = inspect_model(name, load_and_report())
    if as_json:
        tell_json(about)
    else:
        print_model(about, parameters, Display())
