"""Figures of merit from what was answered. What they take grows with images and classes, never with classes squared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered: the class of each image, the class it was taken for [N], and the mean loss."""

    labels: torch.Tensor
    predicted: torch.Tensor
    loss: float


@dataclass(frozen=True)
class Figures:
    """How a model did on one split, in three numbers.

    `macro_f1` is the mean of F1 over the classes that the split has images of, every class weighing the same.
    """

    loss: float
    accuracy: float
    macro_f1: float

    def merit(self, name: str) -> tuple[float, float]:
        """What to compare epochs by, larger being better: accuracy, macro_f1 or the loss; of equals, the lower loss."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "loss": -self.loss}[name], -self.loss


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fared; `support` is the number of its images. A ratio over nothing is 0."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Taken:
    """How many images of the class `label` were taken for the class `predicted`, which may be the same."""

    label: str
    predicted: str
    images: int


@dataclass(frozen=True)
class Evaluation(Figures):
    """How a model did on one split, and on each class of it.

    `confusion` is the confusion matrix row by row, without its zeros.
    """

    classes: tuple[ClassMetrics, ...]
    confusion: tuple[Taken, ...]

    @property
    def mistakes(self) -> list[Taken]:
        """The classes that were taken for another one, the most often mistaken first."""
        return sorted((each for each in self.confusion if each.label != each.predicted), key=lambda each: -each.images)

    def costliest(self) -> list[ClassMetrics]:
        """The classes by how many of their images were taken for another class, the most first."""
        return sorted(self.classes, key=lambda each: each.support * (each.recall - 1))

    def matrix(self) -> list[list[int]]:
        """The whole confusion matrix: a row for each class of images, a column for each that they were taken for."""
        place = {each.name: index for index, each in enumerate(self.classes)}
        rows = [[0] * len(place) for _ in place]
        for each in self.confusion:
            rows[place[each.label]][place[each.predicted]] = each.images
        return rows


def figures(answers: Answers, num_classes: int) -> Figures:
    """The three numbers of answers about so many classes."""
    return _Counts(answers, num_classes).figures(answers.loss)


def summarise(answers: Answers, class_names: Sequence[str]) -> Evaluation:
    """Everything that is to be said about answers: in all, for each class, and for each pair of classes."""
    counts = _Counts(answers, len(class_names))
    pairs, images = torch.unique(answers.labels * len(class_names) + answers.predicted, return_counts=True)
    labels, predicted = (pairs // len(class_names)).tolist(), (pairs % len(class_names)).tolist()
    return Evaluation(
        **vars(counts.figures(answers.loss)),
        classes=tuple(
            map(
                ClassMetrics,
                class_names,
                (counts.hits / counts.predicted.clamp(min=1)).tolist(),
                (counts.hits / counts.support.clamp(min=1)).tolist(),
                counts.f1.tolist(),
                counts.support.long().tolist(),
            )
        ),
        confusion=tuple(
            Taken(class_names[label], class_names[taken], number)
            for label, taken, number in zip(labels, predicted, images.tolist(), strict=True)
        ),
    )


class _Counts:
    """Images of each class, those taken for it, and those rightly so [C], in float64; and each class's F1."""

    def __init__(self, answers: Answers, num_classes: int) -> None:
        right = answers.labels[answers.labels == answers.predicted]
        self.hits, self.support, self.predicted = (
            torch.bincount(each, minlength=num_classes).double() for each in (right, answers.labels, answers.predicted)
        )
        self.f1 = 2 * self.hits / (self.support + self.predicted).clamp(min=1)

    def figures(self, loss: float) -> Figures:
        present = self.support > 0
        accuracy = float(self.hits.sum() / self.support.sum().clamp(min=1))
        return Figures(loss, accuracy, float(self.f1[present].mean()) if present.any() else 0.0)
