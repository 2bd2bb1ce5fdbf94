"""The figures of classification. What they take grows with images and classes, never with classes squared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ft import LabelSpace, Table
from ft_tasks.classification import ClassificationSettings
from ft_tasks.temperature import in_parts


class ClassMeter:
    """Sums up logits [N, C] and classes [N]: the mean cross-entropy; accuracy; and macro F1, which is the mean of F1
    over the classes that there are images of, every class weighing the same. A ratio over nothing is 0."""

    def __init__(self, space: LabelSpace, settings: ClassificationSettings) -> None:
        self._names, self._loss = space.names, 0.0
        nothing = torch.zeros(0, dtype=torch.int64)
        self._labels, self._predicted = [nothing], [nothing]

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        for some, labels in in_parts(outputs, targets):
            self._loss += float(cross_entropy(some, labels, reduction="sum"))
        self._labels.append(targets)
        self._predicted.append(outputs.argmax(1))

    def merge(self, other: ClassMeter) -> None:
        self._loss += other._loss
        self._labels += other._labels
        self._predicted += other._predicted

    def figures(self) -> Mapping[str, float]:
        hits, support, _, f1 = self._counts()
        present, images = support > 0, support.sum()
        return {
            "loss": self._loss / max(1, int(images)),
            "accuracy": float(hits.sum() / images.clamp(min=1)),
            "macro_f1": float(f1[present].mean()) if present.any() else 0.0,
        }

    def tables(self) -> Sequence[Table]:
        """A row for each class, and a row for each pair of classes of which one was taken for the other, or for
        itself: the confusion matrix without its zeros."""
        return self._by_class(), self._by_pair()

    def _by_class(self) -> Table:
        hits, support, predicted, f1 = self._counts()
        precision, recall = hits / predicted.clamp(min=1), hits / support.clamp(min=1)
        columns = (precision.tolist(), recall.tolist(), f1.tolist(), support.long().tolist())
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
        labels, predicted, classes = torch.cat(self._labels), torch.cat(self._predicted), len(self._names)
        pairs, images = torch.unique(labels * classes + predicted, return_counts=True)
        rows = tuple(
            {"label": self._names[pair // classes], "predicted": self._names[pair % classes], "images": number}
            for pair, number in zip(pairs.tolist(), images.tolist(), strict=True)
        )
        columns = {"label": ("images of", ""), "predicted": ("taken for", ""), "images": ("times", "")}
        return Table("confusion", columns, rows, matrix=self._names)

    def _counts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For each class [C], in float64: images rightly taken for it, images of it, images taken for it, and F1."""
        labels, predicted = torch.cat(self._labels), torch.cat(self._predicted)
        hits, support, taken = (
            torch.bincount(each, minlength=len(self._names)).double()
            for each in (labels[labels == predicted], labels, predicted)
        )
        return hits, support, taken, 2 * hits / (support + taken).clamp(min=1)


def right(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """Whether the likeliest class is the right one, for each image [N]."""
    return outputs.argmax(1) == targets
