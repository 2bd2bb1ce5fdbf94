"""`ft data`: looking at images before a run does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ft.cli.common import HelpingGroup, load_and_report
from ft.cli.completion import COMPLETE, complete_data
from ft.cli.printing import tell, tell_json
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.data.oddities import Checked


@click.group(cls=HelpingGroup)
def data() -> None:
    """Look at images before a run does."""


@data.command()
@click.argument("source", metavar="PATH", shell_complete=complete_data)
@click.option("--task", metavar="TASK", shell_complete=COMPLETE["--task"], help="what labels have to be, as for ft run")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="as for ft run, as in data.layout=classes")
@click.option("--json", "as_json", is_flag=True, help="print JSON, with every file")
def check(source: str, task: str | None, sets: tuple[str, ...], as_json: bool) -> None:
    """Find images that cannot be read, are not what they seem, or are there twice, and classes without images.

    PATH is what --data takes: a folder, a table, or another data source. Exits with 2 for what would stop a run.
    """
    from ft.data.oddities import check_data, stopping
    from ft.machine.display import Display

    checked = check_data(source, load_and_report(), Display(), sets, task)
    if as_json:
        from dataclasses import asdict

        findings = [{**asdict(finding), "stops": finding.stops} for finding in checked.findings]
        tell_json({**asdict(checked), "findings": findings})
    else:
        _print(checked)
    if number := stopping(checked.findings):
        raise FtError(f"{number} of these would stop a run; mend them, or leave images out with --bad-images skip")


def _print(checked: Checked) -> None:
    from collections import Counter

    from ft.data.oddities import KINDS
    from ft.machine.layout import print_table
    from ft.text.counting import first_lines

    counts = Counter(finding.kind for finding in checked.findings)
    rows = [(kind, str(number), "yes" if KINDS[kind][0] else "no", KINDS[kind][1]) for kind, number in counts.items()]
    if rows:
        print_table(("found", "times", "stops a run", "what it means"), rows)
    for kind in counts:
        lines = [
            f"{', '.join(map(str, finding.paths))}{': ' if finding.paths else ''}{finding.detail}"
            for finding in checked.findings
            if finding.kind == kind
        ]
        tell("", f"{kind}:")
        for line in first_lines(lines):
            tell(f"  {line}")
    came_to = number_of(len(checked.findings), "finding") if checked.findings else "nothing odd"
    images, classes = number_of(checked.images, "image"), number_of(len(checked.classes), *checked.noun)
    tell(f"{images} of {classes} in {checked.source}: {came_to}")
