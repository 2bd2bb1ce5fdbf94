"""`ft probe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import load_and_report
from ft.cli.completion import COMPLETE, complete_backbone, complete_data
from ft.cli.printing import tell, tell_json, warn
from ft.errors import FtError
from ft.machine.memory import garbage_waits
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.extension.installed import Plugins
    from ft.probing import Probe, Probed

MOST = 24
"""Backbones of one call: each looks at every image."""


@click.command()
@click.argument("data", shell_complete=complete_data)
@click.option(
    "--backbone",
    "backbones",
    multiple=True,
    metavar="BACKBONE",
    shell_complete=complete_backbone,
    help="one to try; repeat for more",
)
@click.option(
    "--models", "pattern", metavar="PATTERN", help="all that match, as for ft models, and whose weights are here"
)
@click.option("--fetch", is_flag=True, help="with --models: also those whose weights have to be fetched first")
@click.option(
    "--head",
    "heads",
    multiple=True,
    default=("linear", "stages"),
    show_default=True,
    metavar="HEAD",
    help="a linear one to try on each backbone; repeat for more",
)
@click.option(
    "--folds", default=5, show_default=True, type=click.IntRange(2), help="heads, each fitted to all images but a share"
)
@click.option("--task", metavar="TASK", shell_complete=COMPLETE["--task"], help="what labels have to be, as for ft run")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="as for ft run, as in images.size=224")
@click.option("--depths", is_flag=True, help="also show what each stage of a backbone knows")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="write a page with charts"
)
def probe(data: str, backbones: tuple[str, ...], sets: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Rank backbones on DATA, before any training: how well linear heads answer about images that they did not see.

    \b
      ft probe ./photos                                   all whose weights are on this machine
      ft probe ./photos --backbone torchvision:resnet18 --backbone efficientnet-lite:lite0
      ft probe ./photos --models 'torchvision:mobilenet*' --fetch

    Each backbone looks at every image once; what its stages make of them is kept for the next time.
    """
    with garbage_waits():
        from ft.probing import probe as probe_backbones
    from ft.gathering import config_to_gather
    from ft.machine.display import Display

    display, plugins = Display(), load_and_report()
    names = _candidates(backbones, given["pattern"], given["fetch"], plugins)
    configs = [config_to_gather(data, {"backbone": name, "task": given["task"]}, sets) for name in names]
    heads = tuple(dict.fromkeys(given["heads"]))
    found = probe_backbones(configs, heads, given["folds"], plugins.preferring(configs[0].prefer), display)
    if (page := given["html"]) is not None:
        from ft.machine.files import publish_text
        from ft.probing_page import probing_page

        publish_text(page, probing_page(found, data))
        display.say(f"wrote {page}: open it in a browser")
    if as_json:
        tell_json(_plain(found))
        return
    _print(found, given["depths"])
    for name, why in found.left_out.items():
        warn(f"{name} is left out: {why}")
    task = ("--task", given["task"]) if given["task"] else ()
    _recommend(found, data, [*task, *(word for text in sets for word in ("--set", text))])


def _candidates(backbones: Sequence[str], pattern: str | None, fetch: bool, plugins: Plugins) -> list[str]:
    """The backbones to try. Raises FtError where there are none, or too many for one call."""
    from ft.cli.models import matching
    from ft.model.listing import listed_models
    from ft.weights.cache import open_cache

    if fetch and pattern is None:
        raise FtError("--fetch is about backbones that --models names; --backbone fetches what it needs")
    found = list(dict.fromkeys(backbones))
    if pattern is not None or not found:
        listed, _ = listed_models(plugins, open_cache())
        some = matching(pattern, listed) if pattern is not None else [each for each in listed if not each.for_tests]
        here = [each.name for each in some if each.here or fetch]
        if not here:
            among = f"that match '{pattern}'" if pattern is not None else "that ft knows"
            raise FtError(
                f"of {number_of(len(some), 'backbone')} {among}, none has its weights on this machine. Name some with "
                "--backbone, or add --fetch to a --models PATTERN"
            )
        found += [name for name in here if name not in found]
    if len(found) > MOST:
        raise FtError(f"these are {len(found)} backbones, and {MOST} are tried at most; narrow the pattern of --models")
    return found


def _print(found: Probed, depths: bool) -> None:
    from ft.machine.layout import Columns, count, print_table, rate

    figure = found.figure
    headers = ("backbone", "head", "front", figure.title, "95 %", "images/s", "parameters", "penalty")
    front = found.front
    rows = [
        (
            each.backbone,
            each.head,
            "*" if each in front else "",
            figure.written(each.figures[figure.name]),
            "-"
            if each.interval is None
            else f"{figure.written(each.interval.low)} to {figure.written(each.interval.high)}",
            rate(1 / each.seconds),
            count(each.parameters),
            f"{each.penalty:g}",
        )
        for each in found.ranked
    ]
    print_table(headers, rows, Columns(right=headers[3:], squeeze=("backbone",), spare=("penalty", "parameters")))
    if len(rows) > 1:
        tell("* nothing else here is both better and faster (Pareto's front)")
    if depths:
        columns = ("backbone", "up to", figure.title, "features", "parameters behind", "share of the time behind")
        each_depth = [
            (
                each.backbone,
                each.stage,
                figure.written(each.figures[figure.name]),
                str(each.width),
                count(each.behind),
                f"{each.seconds_behind / each.seconds:.0%}",
            )
            for each in found.depths
        ]
        print_table(columns, each_depth, Columns(right=columns[2:], squeeze=("backbone",)))
    heads = f"heads fitted to all images but a share of 1/{found.folds}, asked about that share"
    tell(f"{number_of(found.images, 'image')}; {heads}; the penalty is the best of those tried on the same images")


def _recommend(found: Probed, data: str, rest: Sequence[str]) -> None:
    from ft.text.names import typed

    best, chosen = found.ranked[0], found.as_good
    if chosen is not best:
        times = best.seconds / chosen.seconds
        worse = f"not worse than {best.backbone} by more than chance"
        tell(f"{chosen.backbone} is {worse}, and {times:.1f} times as fast in use")
    how = ("--freeze", "all", "--head", chosen.head, "--optimizer", "lbfgs")
    tell(typed("ft", "run", "--backbone", chosen.backbone, *how, "--data", data, *rest))


def _plain(found: Probed) -> Mapping[str, Any]:
    def row(each: Probe) -> dict[str, Any]:
        return {
            "backbone": each.backbone,
            "head": each.head,
            "stage": each.stage,
            "figures": dict(each.figures),
            "interval": None if each.interval is None else [each.interval.low, each.interval.high],
            "penalty": each.penalty,
            "features": each.width,
            "seconds_an_image": each.seconds,
            "seconds_behind": each.seconds_behind,
            "parameters": each.parameters,
            "parameters_behind": each.behind,
            "computed": each.computed,
        }

    def named(each: Probe) -> dict[str, str]:
        return {"backbone": each.backbone, "head": each.head}

    return {
        "images": found.images,
        "folds": found.folds,
        "figure": found.figure.name,
        "ranked": [row(each) for each in found.ranked],
        "depths": [row(each) for each in found.depths],
        "as_good": named(found.as_good),
        "front": [named(each) for each in found.front],
        "left_out": dict(found.left_out),
    }
