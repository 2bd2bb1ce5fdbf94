"""Figures of merit from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fared; `support` is the number of its images. A ratio over nothing is 0."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """How a model did on one split. `confusion[i][j]` counts images of class i that were taken for class j.

    `macro_f1` is the mean of F1 over the classes that the split has images of, every class weighing the same.
    """

    loss: float
    accuracy: float
    macro_f1: float
    classes: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]

    def figure(self, name: str) -> float:
        """The figure to compare runs by, larger being better: accuracy, macro_f1, or the loss's negative."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "loss": -self.loss}[name]


def count_confusion(predicted: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Count [num_classes, num_classes] pairs (label, predicted) from two integer tensors [N]."""
    return torch.bincount(labels * num_classes + predicted, minlength=num_classes**2).view(num_classes, num_classes)


def summarise(confusion: torch.Tensor, mean_loss: float, class_names: Sequence[str]) -> Evaluation:
    """Turn a confusion matrix (rows: labels, columns: predictions) and a mean loss into figures."""
    matrix = confusion.double()
    hits, support, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    precision = hits / predicted.clamp(min=1)
    recall = hits / support.clamp(min=1)
    f1 = 2 * hits / (support + predicted).clamp(min=1)
    present = support > 0
    return Evaluation(
        loss=mean_loss,
        accuracy=float(hits.sum() / support.sum().clamp(min=1)),
        macro_f1=float(f1[present].mean()) if present.any() else 0.0,
        classes=tuple(
            ClassMetrics(name, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, name in enumerate(class_names)
        ),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )
