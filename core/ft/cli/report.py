"""`ft report`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import load_and_report
from ft.cli.using import load_run, meant, using_a_model
from ft.errors import FtError
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.config.schema import ReportConfig


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="a key of report, as in report.pictures=off; repeatable"
)
@click.option(
    "--features",
    is_flag=True,
    help="run the pretrained network over all images of the run once, and show what its features know of them",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="where the page of several runs is written; default: comparison.html beside the first",
)
@using_a_model
def report(runs: tuple[Path, ...], sets: tuple[str, ...], features: bool, out: Path | None, **machine: Any) -> None:
    """Write report.html into the folder of a run: the verdict, curves, mistakes, what trained. Of several RUNS, write
    one page that compares them.

    \b
      ft report runs/latest
      ft report runs/latest --set report.pictures=off
      ft report runs/first runs/second

    A run writes it as it ends. Of an older run, the model is asked about its validation and test images once more. With
    --features, the pretrained network is asked about all images, where the run did not keep what that tells.
    """
    with garbage_waits():
        from ft.reporting.features import find_out
        from ft.reporting.finished import read_finished
        from ft.reporting.found import Found
        from ft.reporting.side_by_side import read_several
        from ft.reporting.write import SEVERAL, write_comparison, write_page
    from ft.machine.display import Display
    from ft.run.folder import Run

    display, plugins = Display(), load_and_report()
    folder, *others = (meant(run, display) for run in runs)
    if others:
        if features:
            raise FtError("--features is about one run; leave it out, or ask for its page alone")
        several = read_several([folder, *others], plugins, machine["trust_code"])
        page = out or folder.parent / SEVERAL
        write_comparison(several, page, Found(several[0], plugins), _how(folder, sets), display)
        display.tell(str(page))
        return
    if out is not None:
        raise FtError(f"--out is for the page of several runs; that of one lies in its folder, {folder}")
    finished = read_finished(Run(folder), plugins, machine["trust_code"])
    if features:
        find_out(finished, plugins, display)
    load, how = partial(load_run, folder, machine), _how(folder, sets)
    display.tell(str(write_page(finished, Found(finished, plugins), plugins, display, load, how)))


def _how(folder: Path, sets: Sequence[str]) -> ReportConfig:
    """The section report of a run's config, with what is said anew."""
    from ft.config.loading import load_config

    if others := [text for text in sets if not text.startswith("report.")]:
        raise FtError(f"ft report takes keys of report alone, as --set report.pictures=off; leave out {others[0]}")
    return load_config(folder / "config.yaml", sets).report
