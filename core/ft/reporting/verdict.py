"""The verdict: how good a run is, how sure that is of so few images, and what has to be known beside it."""

from __future__ import annotations

from collections.abc import Iterator

from ft.extension.sections import Note
from ft.insight.sureness import how_sure
from ft.pages.records import Headline, Scale
from ft.reporting.finished import Answers, Finished
from ft.run.next_steps import among_penalties, more_may_be_better
from ft.run.summaries import figures_in
from ft.task.sure import Sure, too_few
from ft.text.counting import number_of

CALLED = {"val": "validation", "test": "test"}
"""What splits are called."""


def judged_by(finished: Finished) -> str:
    """The split by which a run is judged: test images, where there are any."""
    return "test" if finished.report.test else "val"


def sure_of(finished: Finished, answers: Answers | None) -> tuple[Sure, ...]:
    """Each figure by which the task judges, on the split by which the run is judged.

    Without the `answers` to all of its images, as of an older run whose images are gone, only shares have intervals.
    """
    split = judged_by(finished)
    measured, images = figures_in(getattr(finished.report, split)), finished.count(split)
    given = (answers.outputs, answers.targets) if answers else None
    return how_sure(finished.task, finished.space, finished.train, measured, images, given)


def headlines(finished: Finished, figures: tuple[Sure, ...]) -> tuple[Headline, ...]:
    """The figures in large, each with its interval and what it is to be compared with."""
    other = figures_in(finished.report.val) if judged_by(finished) == "test" else {}
    return tuple(_headline(each, other.get(each.figure.name)) for each in figures)


def _headline(sure: Sure, in_validation: float | None) -> Headline:
    figure, interval = sure.figure, sure.interval
    beside = [("without looking", figure.written(sure.guess))] if sure.guess is not None else []
    beside += [("on validation images", figure.written(in_validation))] if in_validation is not None else []
    share = figure.of_images and interval is not None
    return Headline(
        figure.title,
        figure.written(sure.value),
        f"95 % sure: {figure.written(interval.low)} to {figure.written(interval.high)}" if interval else "",
        tuple(beside),
        Scale(sure.value, interval.low, interval.high, sure.guess) if share and interval else None,
    )


def remarks(finished: Finished, figures: tuple[Sure, ...]) -> Iterator[Note]:
    """What whoever reads the figures has to know, the plain facts first."""
    split, report = judged_by(finished), finished.report
    images = number_of(finished.count(split), f"{CALLED[split]} image")
    said = [f"Measured on {images}, by the saved model as anybody will use it."]
    if any(each.interval for each in figures):
        said.append("Of all images like these, a figure lies within its range with 95 % confidence.")
    if any(each.guess is not None for each in figures):
        said.append("“Without looking” is what the one answer gets that suits the training labels best.")
    yield Note(" ".join(said))
    yield from (Note(f"{doubt}.", warns=True) for each in figures[:1] for doubt in too_few(each, images))
    if split == "val" and report.epochs > 1:
        tries = "penalties" if finished.best.get("penalty") is not None else "epochs"
        if heads := len(finished.report.model_dump().get("candidates", ())):
            tries += f" of {number_of(heads, 'head')}"
        yield Note(
            f"The best of {report.epochs} {tries} was chosen on these very images, and no test images stand beside "
            "them, so the figures are likely a little better than on new images. With --test-fraction 0.2 some are "
            "kept apart.",
            warns=True,
        )
    if (
        report.best_epoch == report.epochs
        and not report.averaged
        and not among_penalties(finished.best.get("penalty"), report.model_dump().get("time_budget"))
    ):
        more = more_may_be_better(report.epochs, finished.best.get("penalty"), finished.in_phases, finished.run.path)
        yield Note(f"{more[0].upper()}{more[1:]}")
