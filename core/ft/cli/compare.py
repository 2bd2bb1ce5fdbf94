"""`ft compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import load_and_report
from ft.cli.printing import tell, tell_json, tell_title, warn
from ft.machine.memory import garbage_waits

if TYPE_CHECKING:
    from ft.reporting.finished import Finished
    from ft.reporting.side_by_side import Beside
    from ft.run.differences import Difference


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.option("--trust-code", is_flag=True, help="import components that the runs name by file or module")
def compare(runs: tuple[Path, ...], as_json: bool, trust_code: bool) -> None:
    """Compare finished RUNS: figures, whether these differ by more than chance, what was asked for.

    \b
      ft compare runs/first runs/second
      ft report runs/first runs/second       # the same as a page, with pictures
    """
    with garbage_waits():
        from ft.reporting.side_by_side import asked_differently, beside_the_first, read_several

    found = read_several(runs, load_and_report(), trust_code)
    beside, asked = beside_the_first(found), asked_differently(found)
    if as_json:
        tell_json(_plain(found, beside, asked))
        return
    _print_figures(found)
    for each in beside:
        (warn if isinstance(each.found, str) else tell)(each.said)
    tell("")
    _print_differences(asked, len(found))


def _print_figures(found: Sequence[Finished]) -> None:
    from ft.machine.layout import Columns, print_table
    from ft.reporting.side_by_side import LETTERS, figures_of

    measured = [figures_of(run) for run in found]
    names = list(dict.fromkeys(name for each in measured for name in each))
    rows = [
        (letter, str(run.run.path), *(each.get(name, "-") for name in names))
        for letter, run, each in zip(LETTERS, found, measured, strict=False)
    ]
    spare = [name for name in names if "loss" in name]
    print_table(("", "run", *names), rows, Columns(right=names, squeeze=("run",), spare=spare))


def _print_differences(asked: Sequence[Difference], runs: int) -> None:
    from ft.machine.layout import Columns, print_table
    from ft.reporting.side_by_side import LETTERS

    if not asked:
        tell("All were asked for the same.")
        return
    tell_title("asked for differently")
    tell("")
    letters = LETTERS[:runs]
    print_table(("key", *letters), [(each.key, *each.values) for each in asked], Columns(squeeze=tuple(letters)))


def _plain(found: Sequence[Finished], beside: Sequence[Beside], asked: Sequence[Difference]) -> Mapping[str, Any]:
    return {
        "runs": [{"path": str(run.run.path), "val": run.report.val, "test": run.report.test} for run in found],
        "beside_first": [each.plain() for each in beside],
        "differences": [{"key": each.key, "values": each.values} for each in asked],
    }
