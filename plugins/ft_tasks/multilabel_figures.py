"""multilabel: how well probabilities fit labels, over all of them and for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

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
    """Keeps what was answered until it is asked: an average precision needs all of it.

    Thresholds are the label space's; while it has none, as during training, those that are best on these very images.
    """

    def __init__(self, space: LabelSpace, settings: MultilabelSettings) -> None:
        self._space, self._settings = space, settings
        self._outputs, self._targets = list[Tensor](), list[Tensor]()
        self._loss_sum = 0.0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        known = ~targets.isnan()
        expected = targets.nan_to_num(-1.0)
        self._loss_sum += float(
            binary_cross_entropy_with_logits(
                outputs.double(), expected.double().clamp(min=0), weight=known.double(), reduction="sum"
            )
        )
        self._outputs.append(outputs.float().clone())
        self._targets.append(expected.to(torch.int8))

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


def rankings(outputs: Sequence[Tensor], targets: Sequence[Tensor], count: int) -> Iterator[Ranking]:
    """Rank for each label the images of which it is known; targets [N, K] are negative or NaN where it is not."""
    for place in range(count):
        logits = torch.cat([each[:, place] for each in outputs]) if outputs else torch.empty(0)
        expected = torch.cat([each[:, place] for each in targets]) if targets else torch.empty(0)
        known = expected >= 0
        yield ranking(logits[known], expected[known] > 0)


def calibrate(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: MultilabelSettings) -> LabelSpace:
    """Return the label space with a threshold for each label, by the validation images' outputs and targets [N, K]."""
    given = None if settings.thresholds == "best" else settings.thresholds
    found = [
        each.best_threshold() if given is None else given for each in rankings([outputs], [targets], len(space.names))
    ]
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
