"""How far the figures of a split can be trusted: their intervals, and what the best answer without looking gets."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ft.extension.sections import Note
from ft.extension.tasks import Figure, LabelSpace
from ft.insight.intervals import bootstrap, wilson
from ft.task.chosen import ChosenTask
from ft.task.evaluation import Answered
from ft.task.sure import Interval, Sure


def how_sure(
    task: ChosenTask,
    space: LabelSpace,
    train: Tensor,
    figures: Mapping[str, float],
    images: int,
    answers: Answered | None,
) -> tuple[Sure, ...]:
    """Each figure by which the task judges, of so many images.

    A guess knows the targets of training images, `train`. Without the `answers` to all of the images, outputs [N, K]
    and targets [N, ...], only shares of images have intervals, and nothing is guessed.
    """
    measure = task.measure(space)
    guess = task.guess(train, space) if answers else None
    guessed = measure(guess.expand_as(answers[0]), answers[1]) if answers and guess is not None else {}

    def interval(figure: Figure) -> Interval | None:
        if figure.of_images:
            return wilson(round(figures[figure.name] * images), images)
        if answers is None:
            return None
        outputs, targets = answers

        def again(places: Tensor) -> float:
            return measure(outputs, targets, places)[figure.name]

        return bootstrap(again, len(outputs), outputs.shape[1])

    return tuple(
        Sure(figure, figures[figure.name], interval(figure), guessed.get(figure.name))
        for figure in task.record.figures
        if figure.name in figures
    )


def warned_of(task: ChosenTask, space: LabelSpace, answers: Answered) -> tuple[str, ...]:
    """What the task warns of where it shows a split: as that a class is never answered."""
    parts = (part for section in task.sections(*answers, space) for part in section.parts)
    return tuple(part.text for part in parts if isinstance(part, Note) and part.warns)
