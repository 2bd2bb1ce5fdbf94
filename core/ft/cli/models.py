"""`ft models` and `ft models show`."""

from __future__ import annotations

from dataclasses import asdict
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import hand_json_on, load_and_report
from ft.cli.printing import tell_json, warn

if TYPE_CHECKING:
    from ft.model.listing import ListedModel


ORDERS = ("name", "parameters", "flops", "accuracy", "size")
"""Those of ft.model.listing, which takes too long to import for a line to be parsed."""
MARKS = "*?["
"""What makes a name a pattern."""


class _DefaultToList(click.Group):
    """`ft models PATTERN` is `ft models list PATTERN`, and `ft models` is `ft models list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing and not {*self.commands, *ctx.help_option_names} & {*args}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultToList)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List backbones: which to begin with, or those that match a pattern: `ft models 'resnet*'`. `ft models show NAME`
    describes one."""
    hand_json_on(ctx, as_json)


@models.command("list")
@click.argument("pattern", default="")
@click.option("--sort", "by", type=click.Choice(ORDERS), help="the smallest first, or the most accurate")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_models(pattern: str, by: str | None, as_json: bool) -> None:
    """List backbones whose name contains PATTERN, or matches it where it has a * or ?, with what is known of them.

    \b
      ft models                                 which to begin with, and how many there are
      ft models '*'                             all of them
      ft models 'torchvision:*' --sort flops    those of one provider, the smallest first
    """
    from ft.cli.model_tables import print_models, print_overview
    from ft.machine.display import Display
    from ft.model.listing import in_order, listed_models
    from ft.weights.cache import open_cache

    plugins = load_and_report()
    listed, reasons = listed_models(plugins, open_cache())
    for reason in reasons:
        warn(reason, "not listed")
    found = matching(pattern, listed)
    if by:
        found = in_order(found, by)
    if as_json:
        tell_json([asdict(model) for model in found])
    elif pattern or by:
        print_models(found, Display())
    else:
        print_overview(found, [(each.name, each.record.summary) for each in plugins.components("backbone")], Display())


def matching(pattern: str, listed: list[ListedModel]) -> list[ListedModel]:
    """Those whose name contains the pattern, or matches it where it has a mark. Raises FtError where there is none."""
    from ft.errors import FtError, nearest

    glob = pattern if any(mark in pattern for mark in MARKS) else f"*{pattern}*"
    found = [each for each in listed if fnmatch(each.name, glob) or fnmatch(each.name.partition(":")[2], glob)]
    if not found:
        near = nearest(pattern, [each.name.partition(":")[2] for each in listed])
        hint = f"; near: {', '.join(near)}" if near else ""
        raise FtError(f"no backbone matches '{pattern}' among {len(listed)}{hint}")
    return found


@models.command("show")
@click.argument("name", metavar="PROVIDER:MODEL")
@click.option("--parameters/--no-parameters", default=True, help="list every parameter name; default: yes")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(name: str, parameters: bool, as_json: bool) -> None:
    """Show a backbone's stages, parameter names and weights, without fetching any."""
    from ft.cli.tables import print_model
    from ft.machine.display import Display
    from ft.model.inspection import inspect_model

    about: dict[str, Any] = inspect_model(name, load_and_report())
    if as_json:
        tell_json(about)
    else:
        print_model(about, parameters, Display())
