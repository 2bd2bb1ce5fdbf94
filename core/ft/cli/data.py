"""`ft data`: looking at images before a run does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ft.cli.common import HelpingGroup, load_and_report
from ft.cli.completion import COMPLETE, complete_backbone, complete_data
from ft.cli.known import asked_of_features, print_known, tell_of_features
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
@click.option(
    "--backbone",
    metavar="BACKBONE",
    shell_complete=complete_backbone,
    help="also say what its features tell: labels that may be wrong, near copies, outliers",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON, with every file")
@click.option(
    "--write-csv",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="with --backbone: write a table in which labels can be corrected; --data FILE reads it",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="with --backbone: write a page that shows what features tell, with small pictures",
)
@click.option("--strict", is_flag=True, help="with --backbone: exit with 1 where features tell of anything")
def check(source: str, sets: tuple[str, ...], as_json: bool, strict: bool, **given: Any) -> None:
    """Find images that cannot be read, are not what they seem, or are there twice, and classes without images.

    PATH is what --data takes: a folder, a table, or another data source. Exits with 2 for what would stop a run.

    With --backbone, its features of all images, which a run finds again, also tell which labels may be wrong, which
    images show the same, and which are unlike all others. No network is trained.
    """
    from ft.data.oddities import check_data, stopping
    from ft.machine.display import Display

    backbone, task = given["backbone"], given["task"]
    for flag, wanted in (("--strict", strict), ("--write-csv", given["write_csv"]), ("--html", given["html"])):
        if backbone is None and wanted:
            raise click.UsageError(f"{flag} is about what features tell; add --backbone")
    display, plugins = Display(), load_and_report()
    asked = None if backbone is None else asked_of_features(source, sets, given)
    checked = check_data(source, plugins, display, sets if asked is None else asked.of_the_data, task)
    number = stopping(checked.findings, skipped=asked is not None and asked.config.images.bad == "skip")
    known = None if asked is None or number else tell_of_features(asked, checked, plugins, display)
    if as_json:
        from dataclasses import asdict

        findings = [{**asdict(finding), "stops": finding.stops} for finding in checked.findings]
        told = {} if known is None else {"known": asdict(known)}
        tell_json({**asdict(checked), "findings": findings, **told})
    else:
        _print(checked)
        if known is not None:
            print_known(known)
    if number:
        raise FtError(f"{number} of these would stop a run; mend them, or leave images out with {_skip(backbone)}")
    if strict and known is not None and known.found:
        click.get_current_context().exit(1)


def _skip(backbone: str | None) -> str:
    return "--bad-images skip" if backbone is None else "--set images.bad=skip"


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
