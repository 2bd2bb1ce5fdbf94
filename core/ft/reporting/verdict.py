"""The verdict: how good a run is, how sure that is of so few images, and what has to be known beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ft.extension.sections import Note
from ft.extension.tasks import Figure
from ft.insight.intervals import Interval, bootstrap, wilson
from ft.pages.records import Headline, Scale
from ft.reporting.finished import Answers, Finished
from ft.run.summaries import figures_in
from ft.text.counting import number_of
from ft.text.names import typed

CALLED = {"val": "validation", "test": "test"}
"""What splits are called."""
WIDE = 0.1
"""An interval of a share of images that is wider than this tells runs apart only roughly."""


@dataclass(frozen=True)
class Sure:
    """A figure that was measured, between which values it lies, and what a guess gets, as far as these are known."""

    figure: Figure
    value: float
    interval: Interval | None
    guess: float | None

    @property
    def tells(self) -> bool:
        """Whether the figure is surely better than the guess, or there is nothing to compare."""
        if self.guess is None or self.interval is None:
            return True
        better = self.interval.low > self.guess, self.interval.high < self.guess
        return better[0] if self.figure.larger_is_better else better[1]


def judged_by(finished: Finished) -> str:
    """The split by which a run is judged: test images, where there are any."""
    return "test" if finished.report.test else "val"


def how_sure(finished: Finished, answers: Answers | None) -> tuple[Sure, ...]:
    """Each figure by which the task judges, on the split by which the run is judged.

    Without the `answers` to all of its images, as of an older run whose images are gone, only shares have intervals.
    """
    split = judged_by(finished)
    measured, images = figures_in(getattr(finished.report, split)), finished.count(split)
    guessed = _guessed(finished, answers) if answers else {}
    return tuple(
        Sure(figure, measured[figure.name], _interval(finished, figure, measured[figure.name], answers, images), guess)
        for figure in finished.task.record.figures
        if figure.name in measured
        for guess in (guessed.get(figure.name),)
    )


def _interval(
    finished: Finished, figure: Figure, value: float, answers: Answers | None, images: int
) -> Interval | None:
    if figure.of_images:
        return wilson(round(value * images), images)
    if answers is None:
        return None
    outputs, targets = answers.outputs, answers.targets

    def again(places: Tensor) -> float:
        return _figures(finished, outputs[places], targets[places])[figure.name]

    return bootstrap(again, len(outputs), outputs.shape[1])


def _guessed(finished: Finished, answers: Answers) -> Mapping[str, float]:
    """The figures of one answer to all images, which follows from the training labels alone."""
    guess = finished.task.guess(finished.train, finished.space)
    if guess is None:
        return {}
    return _figures(finished, guess.expand(len(answers.outputs), -1), answers.targets)


def _figures(finished: Finished, outputs: Tensor, targets: Tensor) -> Mapping[str, float]:
    meter = finished.task.meter(finished.space)
    meter.add(outputs, targets)
    return meter.figures()


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
    yield from _too_few(figures[:1], images)
    if split == "val" and report.epochs > 1:
        tries = "penalties" if finished.best.get("penalty") is not None else "epochs"
        yield Note(
            f"The best of {report.epochs} {tries} was chosen on these very images, and no test images stand beside "
            "them, so the figures are likely a little better than on new images. With --test-fraction 0.2 some are "
            "kept apart.",
            warns=True,
        )
    if report.best_epoch == report.epochs:
        yield Note(_more_may_be_better(finished))


def _too_few(figures: tuple[Sure, ...], images: str) -> Iterator[Note]:
    """What is to be said where the images are too few to tell."""
    for each in figures:
        if not each.tells:
            yield Note(
                f"{images} are too few to tell, or nothing was learned: what an answer without looking gets lies "
                f"within the range of the {each.figure.title}.",
                warns=True,
            )
        elif each.figure.of_images and each.interval and each.interval.high - each.interval.low > WIDE:
            apart = (each.interval.high - each.interval.low) / 2
            yield Note(
                f"{images} tell runs apart only roughly: another run whose {each.figure.title} differs by less than "
                f"about {each.figure.written(apart)} may be as good.",
                warns=True,
            )


def _more_may_be_better(finished: Finished) -> str:
    report, penalty = finished.report, finished.best.get("penalty")
    if penalty is None:
        longer = typed("ft", "run", "--resume", finished.run.path, "--epochs", report.epochs + 5)
        return f"The last epoch was the best; more may be better: {longer}"
    weaker = typed("--set", f"training.penalties=[{penalty / 10:g},{penalty / 100:g}]")
    return f"The weakest penalty was the best; weaker ones may be better: {weaker}"
