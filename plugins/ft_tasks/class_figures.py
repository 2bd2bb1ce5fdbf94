"""The figures of classification. What they take grows with images and classes, never with classes squared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ft import LabelSpace, Table
from ft_tasks.classification import ClassificationSettings

_TOGETHER = 2**22
"""Logits that are looked at at once."""


class ClassMeter:
    """Sums up logits [N, C] and classes [N], which are arrays or, on the CPU, tensors: the mean cross-entropy;
    accuracy; and macro F1, which is the mean of F1 over the classes that there are images of, every class weighing the
    same. A ratio over nothing is 0."""

    def __init__(self, space: LabelSpace, settings: ClassificationSettings) -> None:
        self._names, self._loss = space.names, 0.0
        nothing = np.zeros(0, np.int64)
        self._labels, self._predicted = [nothing], [nothing]

    def add(self, outputs: ArrayLike, targets: ArrayLike) -> None:
        logits, labels = np.asarray(outputs), np.asarray(targets)
        self._loss += cross_entropy(logits, labels)
        self._labels.append(labels)
        self._predicted.append(logits.argmax(1))

    def merge(self, other: ClassMeter) -> None:
        self._loss += other._loss
        self._labels += other._labels
        self._predicted += other._predicted

    def figures(self) -> Mapping[str, float]:
        hits, support, _, f1 = self._counts()
        present, images = support > 0, support.sum()
        return {
            "loss": self._loss / max(1, int(images)),
            "accuracy": float(hits.sum() / max(1, images)),
            "macro_f1": float(f1[present].mean()) if present.any() else 0.0,
        }

    def tables(self) -> Sequence[Table]:
        """A row for each class, and a row for each pair of classes of which one was taken for the other, or for
        itself: the confusion matrix without its zeros."""
        return self._by_class(), self._by_pair()

    def _by_class(self) -> Table:
        hits, support, predicted, f1 = self._counts()
        precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
        columns = (precision.tolist(), recall.tolist(), f1.tolist(), support.tolist())
        return Table(
            "classes",
            {
                "name": ("class", ""),
                "precision": ("precision", ".1%"),
                "recall": ("recall", ".1%"),
                "f1": ("F1", ".3f"),
                "support": ("images", ""),
            },
            tuple(
                {"name": name, "precision": p, "recall": r, "f1": f, "support": n}
                for name, p, r, f, n in zip(self._names, *columns, strict=True)
            ),
            costs=tuple((support * (1 - recall)).tolist()),
        )

    def _by_pair(self) -> Table:
        labels, predicted, classes = np.concatenate(self._labels), np.concatenate(self._predicted), len(self._names)
        pairs, images = np.unique(labels * classes + predicted, return_counts=True)
        rows = tuple(
            {"label": self._names[pair // classes], "predicted": self._names[pair % classes], "images": number}
            for pair, number in zip(pairs.tolist(), images.tolist(), strict=True)
        )
        columns = {"label": ("images of", ""), "predicted": ("taken for", ""), "images": ("times", "")}
        return Table("confusion", columns, rows, matrix=self._names)

    def _counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """For each class [C]: images rightly taken for it, images of it, images taken for it, and F1."""
        labels, predicted = np.concatenate(self._labels), np.concatenate(self._predicted)
        hits, support, taken = (
            np.bincount(each, minlength=len(self._names)) for each in (labels[labels == predicted], labels, predicted)
        )
        return hits, support, taken, 2 * hits / np.maximum(support + taken, 1)


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The sum over images of the cross-entropy of their logits [N, C] and classes [N], without torch. It is no number
    where a logit is none, or infinite."""
    rows, total = max(1, _TOGETHER // logits.shape[1]), 0.0
    with np.errstate(invalid="ignore"):
        for start in range(0, len(labels), rows):
            some, classes = logits[start : start + rows], labels[start : start + rows, None]
            below = some - some.max(1, keepdims=True)  # so that nothing is too large for exp
            own = np.take_along_axis(below, classes, 1)[:, 0].astype(np.float64)
            total += float((np.log(np.exp(below).sum(1, dtype=np.float64)) - own).sum())
    return total
