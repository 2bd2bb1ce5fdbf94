"""Writes report.html: as a run ends, and later of any run. A run loses nothing where it cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION, ReportConfig
from ft.extension.installed import Plugins
from ft.gathering import Gathered
from ft.inference.load import Trained, load_trained
from ft.machine.display import Display
from ft.machine.files import publish_text, sweep
from ft.pages.page import draw
from ft.reporting.album import pictures_of, with_maps
from ft.reporting.answers import ask_again, kept_answers
from ft.reporting.compose import page_of
from ft.reporting.features import keep_known, keep_what_is_familiar, what_features_know
from ft.reporting.finished import Finished, read_finished
from ft.reporting.found import Found
from ft.reporting.seen import Made, as_the_network_sees_it
from ft.reporting.several import page_of_several
from ft.run.folder import Run
from ft.text.names import typed

NAME = "report.html"
SEVERAL = "comparison.html"


def show(run: Run, gathered: Gathered | None, plugins: Plugins, display: Display) -> None:
    """Write the page of a run that ends now, unless its config has report.html off, with what features that it
    `gathered` tell of its images.

    Whatever keeps it from being written is a warning: the run is done by then, all that the page tells is in other
    files of the run, and `ft report` writes it from them.
    """
    try:
        finished = read_finished(run, plugins, trust_code=True)
        if not finished.config.report.html:
            return
        if gathered is not None:
            keep_known(run, gathered, plugins, display)
            keep_what_is_familiar(run, gathered)
        machine = {"device": finished.config.machine.device, "precision": PREDICT_PRECISION}
        load = partial(load_trained, run, plugins, machine, PREDICT_BATCH, trust_code=True)
        write_page(finished, Found(finished, plugins), plugins, display, load)
    except Exception as error:  # also of a task's own code, and memory that runs out
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        display.warn(f"{NAME} was not written ({what}); try again with: {typed('ft', 'report', run.path)}")


def write_page(
    finished: Finished,
    found: Found,
    plugins: Plugins,
    display: Display,
    load: Callable[[], Trained],
    how: ReportConfig | None = None,
) -> Path:
    """Draw the page of a finished run, as it was asked for or `how` else, and publish it in its folder; return where.

    Its model is `load`ed where maps are to be drawn, or the run kept no outputs: it is then asked about those of its
    images that are `found`. Raises FtError for what the user can mend.
    """
    how, model = how or finished.config.report, cache(load)
    answers = kept_answers(finished) or ask_again(finished, model(), found, display)
    seen, made = as_the_network_sees_it(finished, found, plugins) if how.pictures else (None, Made())
    page = page_of(finished, answers, [what_features_know(finished), *([seen] if seen else [])])
    album = pictures_of(page.sections, finished, found if how.pictures else None, made, display)
    album = with_maps(album, page.sections, found, model, display)
    path = finished.run.path / NAME
    sweep(path)  # what writers left that were killed: nobody goes on with a run that is done
    publish_text(path, draw(page, album))
    return path


def write_comparison(runs: Sequence[Finished], path: Path, found: Found, how: ReportConfig, display: Display) -> None:
    """Draw one page that compares finished runs, with pictures as they are `found` by the first, and publish it."""
    page = page_of_several(runs)
    album = pictures_of(page.sections, runs[0], found if how.pictures else None, Made(), display)
    publish_text(path, draw(page, album))
