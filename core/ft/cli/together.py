"""`ft average` and `ft ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from ft.cli.common import load_and_report
from ft.cli.printing import tell_json
from ft.cli.using import meant, using_a_run
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.machine.display import Display
    from ft.together import PutTogether, Using


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="the folder of the average")
@click.option("--uniform", is_flag=True, help="average all runs, also those that do not help")
@using_a_run
def average(runs: tuple[Path, ...], out: Path, uniform: bool, as_json: bool, **machine: Any) -> None:
    """Average the weights of finished RUNS of one network: of the best and of each further one that helps (a greedy
    soup), judged on validation images that trained none of them. DIR is then used as a run is.

    \b
      ft average runs/first runs/second --out runs/both
    """
    with garbage_waits():
        from ft.together import averaged
    from ft.machine.display import Display

    display, plugins = Display(), load_and_report()
    there = [meant(run, display) for run in runs]
    how: Literal["uniform", "greedy"] = "uniform" if uniform else "greedy"
    _told(averaged(there, out, how, _using(machine), (plugins, display)), as_json, display)


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="the folder of the ensemble")
@using_a_run
def ensemble(runs: tuple[Path, ...], out: Path, as_json: bool, **machine: Any) -> None:
    """Let finished RUNS of one task and its classes answer together: the average of their answers, measured on
    validation images that trained none of them. `ft predict`, `ft evaluate` and `ft.load` take DIR, which holds a copy
    of each run.

    \b
      ft ensemble runs/first runs/second --out runs/all
    """
    with garbage_waits():
        from ft.together import pooled
    from ft.machine.display import Display

    display, plugins = Display(), load_and_report()
    there = [meant(run, display) for run in runs]
    _told(pooled(there, out, _using(machine), (plugins, display)), as_json, display)


def _using(machine: dict[str, Any]) -> Using:
    keys = ("device", "precision", "workers", "batch_size", "trust_code")
    return cast("Using", {name: machine[name] for name in keys})


def _told(made: PutTogether, as_json: bool, display: Display) -> None:
    if as_json:
        tell_json(made.found.plain())
    else:
        made.show(display)
