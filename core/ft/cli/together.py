"""`ft average` and `ft ensemble`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ft.cli.common import load_and_report
from ft.cli.printing import tell_json
from ft.cli.using import meant, using_a_run
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.extension.installed import Plugins
    from ft.inference.load import Trained
    from ft.run.folder import Run


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
        from ft.reporting.write import show
    from ft.machine.display import Display
    from ft.run.folder import Run
    from ft.run.records import to_predict
    from ft.several.average import average_runs
    from ft.several.judged import print_together
    from ft.several.members import read_members

    display, plugins = Display(), load_and_report()
    members = read_members([meant(run, display) for run in runs])
    how: Literal["uniform", "greedy"] = "uniform" if uniform else "greedy"
    task, found = average_runs(members, how, out, _loading(plugins, machine), display)
    show(Run(out), None, plugins, display)
    if as_json:
        tell_json(found.plain())
        return
    print_together(found, "the average", task, display)
    if len(found.taken) == 1:
        display.tell(f"no other run helps {found.best}, whose weights these are, alone")
    display.tell(f"use it: {to_predict(out)}")


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
        from ft.several.ensemble import ensemble_runs
    from ft.machine.display import Display
    from ft.several.judged import print_together
    from ft.several.members import read_members
    from ft.text.names import typed

    display, plugins = Display(), load_and_report()
    members = read_members([meant(run, display) for run in runs])
    task, found = ensemble_runs(members, out, _loading(plugins, machine), display)
    if as_json:
        tell_json(found.plain())
        return
    print_together(found, "the ensemble", task, display)
    code = ["--trust-code"] if machine["trust_code"] else []
    display.tell(f"use it: {typed('ft', 'predict', out, 'IMAGES', *code)}")


def _loading(plugins: Plugins, machine: dict[str, Any]) -> Callable[[Run], Trained]:
    """What loads the model of a run onto the machine that the flags of `using_a_run` ask for."""
    from ft.inference.load import load_trained

    keys = {name: machine[name] for name in ("device", "precision", "workers")}
    return lambda run: load_trained(run, plugins, keys, machine["batch_size"], machine["trust_code"])
