"""multilabel: how well probabilities fit labels, over all of them and for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ft import LabelSpace, Table
from ft_tasks.multilabel import MultilabelSettings, thresholds_of
from ft_tasks.thresholds import Ranking, probabilities, ranking


@dataclass(frozen=True)
class LabelFigures:
    """How one label fared among the images of which it is known. A ratio over nothing is 0."""

    threshold: float
    average_precision: float
    hits: int
    claimed: int
    positives: int

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(self.claimed + self.positives, 1)

    @property
    def mistakes(self) -> int:
        return self.claimed + self.positives - 2 * self.hits


class MultilabelMeter:
    """Keeps what was answered until it is asked: an average precision needs all of it. Outputs and targets [N, K] are
    arrays or, on the CPU, tensors.

    Thresholds are the label space's; while it has none, as during training, those that are best on these very images.
    """

    def __init__(self, space: LabelSpace, settings: MultilabelSettings) -> None:
        self._space, self._settings = space, settings
        self._outputs, self._targets = list[NDArray[np.float32]](), list[NDArray[np.int8]]()
        self._loss_sum = 0.0

    def add(self, outputs: ArrayLike, targets: ArrayLike) -> None:
        logits, expected = (
            np.asarray(outputs).astype(np.float32),
            np.nan_to_num(np.asarray(targets), nan=-1.0).astype(np.int8),
        )
        self._loss_sum += binary_cross_entropy(logits, expected)
        self._outputs.append(logits)
        self._targets.append(expected)

    def merge(self, other: MultilabelMeter) -> None:
        self._loss_sum += other._loss_sum
        self._outputs += other._outputs
        self._targets += other._targets

    def figures(self) -> Mapping[str, float]:
        """The loss has no weights, so that it can be compared. Labels that no image here has count in neither mean."""
        labels = list(self._labels())
        present = [each for each in labels if each.positives]
        known = sum(int((each >= 0).sum()) for each in self._targets)
        hits = sum(each.hits for each in labels)
        return {
            "loss": self._loss_sum / max(known, 1),
            "mean_average_precision": sum(each.average_precision for each in present) / max(len(present), 1),
            "macro_f1": sum(each.f1 for each in present) / max(len(present), 1),
            "micro_f1": 2 * hits / max(sum(each.claimed + each.positives for each in labels), 1),
        }

    def tables(self) -> Sequence[Table]:
        labels = list(self._labels())
        rows: tuple[Mapping[str, str | float], ...] = tuple(
            {
                "label": name,
                "precision": each.hits / max(each.claimed, 1),
                "recall": each.hits / max(each.positives, 1),
                "f1": each.f1,
                "average_precision": each.average_precision,
                "threshold": each.threshold,
                "positives": each.positives,
            }
            for name, each in zip(self._space.names, labels, strict=True)
        )
        return [Table("labels", _COLUMNS, rows, costs=tuple(float(each.mistakes) for each in labels))]

    def _labels(self) -> Iterator[LabelFigures]:
        given = thresholds_of(self._space, self._settings)
        for place, ranked in enumerate(rankings(self._outputs, self._targets, len(self._space.names))):
            threshold = ranked.best_threshold() if given is None else given[place]
            over = int((probabilities(ranked.logits) >= threshold).sum())
            yield LabelFigures(
                threshold,
                ranked.average_precision() if ranked.positives else 0.0,
                int(ranked.hits[over - 1]) if over else 0,
                int(ranked.claimed[over - 1]) if over else 0,
                int(ranked.positives),
            )


def binary_cross_entropy(logits: NDArray[np.float32], expected: NDArray[np.int8]) -> float:
    """The sum over images and labels of the cross-entropy of logits and targets [N, K], without torch; negative targets
    are not known, and count nothing."""
    wide = logits.astype(np.float64)
    each = np.maximum(wide, 0) - wide * (expected > 0) + np.log1p(np.exp(-np.abs(wide)))
    return float(each[expected >= 0].sum())


def rankings(outputs: Sequence[NDArray[np.float32]], targets: Sequence[NDArray[Any]], count: int) -> Iterator[Ranking]:
    """Rank for each label the images of which it is known; targets [N, K] are negative or NaN where it is not."""
    for place in range(count):
        logits = np.concatenate([each[:, place] for each in outputs]) if outputs else np.zeros(0, np.float32)
        expected = np.concatenate([each[:, place] for each in targets]) if targets else np.zeros(0)
        known = expected >= 0
        yield ranking(logits[known], expected[known] > 0)


def calibrate(outputs: ArrayLike, targets: ArrayLike, space: LabelSpace, settings: MultilabelSettings) -> LabelSpace:
    """Return the label space with a threshold for each label, by the validation images' outputs and targets [N, K]."""
    given = None if settings.thresholds == "best" else settings.thresholds
    ranked = rankings([np.asarray(outputs)], [np.asarray(targets)], len(space.names))
    found = [each.best_threshold() if given is None else given for each in ranked]
    return LabelSpace(space.names, space.outputs, {**space.numbers, "thresholds": tuple(found)})


_COLUMNS = {
    "label": ("label", ""),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "f1": ("F1", ".3f"),
    "average_precision": ("average precision", ".3f"),
    "threshold": ("threshold", ".3f"),
    "positives": ("positives", ""),
}
