"""Writes report.html: as a run ends, and later of any run. A run loses nothing where it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ft.config.schema import ReportConfig
from ft.extension.installed import Plugins
from ft.inference.load import Trained
from ft.machine.display import Display
from ft.machine.files import publish_text
from ft.pages.page import draw
from ft.reporting.album import pictures_of
from ft.reporting.answers import ask_again, kept_answers
from ft.reporting.compose import page_of
from ft.reporting.finished import Finished, read_finished
from ft.reporting.found import Found
from ft.run.folder import Run
from ft.text.names import typed

NAME = "report.html"


def show(run: Run, plugins: Plugins, display: Display) -> None:
    """Write the page of a run that ends now, unless its config has report.html off.

    Whatever keeps it from being written is a warning: the run is done by then, all that the page tells is in other
    files of the run, and `ft report` writes it from them.
    """
    try:
        finished = read_finished(run, plugins, trust_code=True)
        if finished.config.report.html:
            write_page(finished, finished.config.report, Found(finished, plugins), display)
    except Exception as error:  # also of a task's own code, and memory that runs out
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        display.warn(f"{NAME} was not written ({what}); try again with: {typed('ft', 'report', run.path)}")


def write_page(
    finished: Finished,
    how: ReportConfig,
    found: Found,
    display: Display,
    load: Callable[[], Trained] | None = None,
) -> Path:
    """Draw the page of a finished run and publish it in its folder; return where.

    Where the run kept no outputs, its model is to be `load`ed, and asked about those of its images that are `found`.
    Raises FtError for what the user can mend.
    """
    answers = kept_answers(finished)
    if not answers and load is not None:
        answers = ask_again(finished, load(), found, display)
    page = page_of(finished, answers)
    album = pictures_of(page.sections, finished, found if how.pictures else None, display)
    path = finished.run.path / NAME
    publish_text(path, draw(page, album))
    return path
