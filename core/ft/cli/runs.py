"""`ft runs`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ft.cli.common import load_and_report
from ft.cli.printing import tell, tell_json, warn
from ft.errors import FtError
from ft.text.counting import number_of

if TYPE_CHECKING:
    from ft.extension.installed import Plugins
    from ft.extension.tasks import Figure
    from ft.run.summaries import Summary


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option(
    "--sort",
    default="time",
    show_default=True,
    type=click.Choice(["time", "figure", "name"]),
    help="which come first: the latest, those with the best validation figure, or by name",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def runs(folder: Path, sort: str, as_json: bool) -> None:
    """List the runs in FOLDER with what each came to.

    `runs/latest` names the one whose model was saved last, for every command that takes a run.
    """
    from ft.run.summaries import summaries_in

    found = summaries_in(folder)
    if not found:
        raise FtError(f"{folder} holds no runs; ft run makes them in the folder runs, or where --run-dir says")
    titles = _Figures(load_and_report())
    if sort == "name":
        found.sort(key=lambda each: each.path.name)
    if sort == "figure":
        found.sort(key=lambda each: (each.task, titles.rank(each)))
    if as_json:
        tell_json([{**asdict(each), "path": str(each.path)} for each in found])
        return
    _print(found, titles)
    for each in found:
        if each.problem:
            warn(each.problem)
    tell(f"{number_of(len(found), 'run')} in {folder}")


class _Figures:
    """What tasks call their figures, of those tasks that are installed."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins

    def of(self, task: str) -> Figure | None:
        """The figure that a task is mainly judged by."""
        from ft.extension.references import parse_reference

        name = parse_reference(task or "classification")
        if not self._plugins.has("task", name.name):
            return None
        figures: Sequence[Figure] = self._plugins.get("task", name).record.figures
        return figures[0]

    def said(self, summary: Summary, part: str) -> str:
        values = getattr(summary, part)
        figure = self.of(summary.task)
        if figure is not None and figure.name in values:
            return f"{figure.short or figure.title} {figure.written(values[figure.name])}"
        return next((f"{name} {value:.4g}" for name, value in values.items() if name != "loss"), "-")

    def rank(self, summary: Summary) -> float:
        """By which to sort, the best first; runs without the figure come last."""
        figure = self.of(summary.task)
        if figure is None or figure.name not in summary.val:
            return float("inf")
        return -summary.val[figure.name] if figure.larger_is_better else summary.val[figure.name]


def _print(found: Sequence[Summary], titles: _Figures) -> None:
    from ft.machine.layout import Columns, print_table

    rows = [
        (
            each.path.name,
            _state(each),
            each.backbone or "?",
            ", ".join(each.freeze) or "-",
            titles.said(each, "val"),
            titles.said(each, "test"),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.ended)),
        )
        for each in found
    ]
    headers = ["run", "state", "backbone", "freeze", "validation", "test", "written"]
    if all(row[5] == "-" for row in rows):
        headers.remove("test")
        rows = [(*row[:5], row[6]) for row in rows]  # type: ignore[misc]
    print_table(headers, rows, Columns(squeeze=("run",), spare=("freeze", "written", "backbone")))


def _state(each: Summary) -> str:
    if each.state == "folds":
        return f"{each.done} of {each.of} folds"
    if each.state == "stopped":
        return f"epoch {each.done} of {each.of or '?'}"
    return each.state
