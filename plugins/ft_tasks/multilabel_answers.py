"""multilabel: what is said of an image."""

from __future__ import annotations

import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ft import Answer, LabelSpace
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.multilabel_figures import thresholds_of
from ft_tasks.thresholds import EVEN, probabilities


@dataclass(frozen=True, repr=False)
class LabelsAnswer(Answer):
    """Which labels an image has. `names` are all labels that the model knows."""

    names: tuple[str, ...]
    _shares: array.array[float]
    """In the order of `names`; a mapping for each of 100,000 images and 1,000 labels would take 10 GB."""
    _over: array.array[int]
    """Places of the labels over their threshold, the likeliest first."""
    _separator: str = ";"
    """What stands between labels in one text."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels whose probability reaches their threshold, the likeliest first."""
        return tuple(self.names[place] for place in self._over)

    @property
    def probabilities(self) -> dict[str, float]:
        """Label -> probability, the likeliest first; each is 0 to 1 by itself."""
        return dict(sorted(zip(self.names, self._shares, strict=True), key=lambda pair: -pair[1]))

    def said(self, top: int) -> dict[str, Any]:
        """The labels, and the probabilities of those and of the `top` likeliest."""
        ranked = self.probabilities
        count = max(top, len(self._over))
        kept = {name: p for place, (name, p) in enumerate(ranked.items()) if place < count or name in self.labels}
        return {"labels": list(self.labels), "probabilities": kept}

    def row(self, top: int) -> dict[str, str | float]:
        """The labels in one cell, and in others the `top` likeliest with their probabilities."""
        cells: dict[str, str | float] = {"labels": self._separator.join(self.labels)}
        for place, (name, share) in enumerate(list(self.probabilities.items())[:top], 1):
            cells |= {f"label_{place}": name, f"probability_{place}": share}
        return cells

    def cells(self, top: int) -> dict[str, str]:
        best = list(self.probabilities.items())[:top]
        said = {f"{place}.": f"{name} {share:.1%}" for place, (name, share) in enumerate(best, 1)}
        return {**said, "labels": f"{self._separator} ".join(self.labels) or "(none)"}  # last, as it may be long

    def every(self) -> dict[str, float]:
        return dict(zip(self.names, self._shares, strict=True))

    def folders(self) -> tuple[str, ...]:
        return self.labels

    def __repr__(self) -> str:
        said = ", ".join(f"{self.names[place]} {self._shares[place]:.1%}" for place in self._over) or "no label"
        return f"<{self.image}: {said}>" if self.image else f"<{said}>"


def predict(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Sequence[LabelsAnswer]:
    """Answer for each image of outputs [N, K]."""
    shares, limits = _shares_and_limits(outputs, space, settings)
    over = shares >= limits
    single = shares.float()
    order = shares.argsort(dim=1, descending=True, stable=True)
    answers = []
    for image, places in enumerate(order):
        kept = places[over[image][places]]
        answers.append(
            LabelsAnswer(
                space.names,
                array.array("f", single[image].numpy().tobytes()),
                array.array("q", kept.numpy().tobytes()),
                settings.separator,
            )
        )
    return answers


def uncertainty(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """How near the probability of any label is to its threshold [N]: 1 where one is on it, 0 where all are 0 or 1."""
    shares, limits = _shares_and_limits(outputs, space, settings)
    away = torch.where(shares < limits, (limits - shares) / limits, (shares - limits) / (1 - limits).clamp(min=1e-12))
    return 1 - away.amin(1)


def average(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """Logits [N, K] whose probabilities are the means of those of the views' [V, N, K], as of classes."""
    have, lack = (logsigmoid(each).logsumexp(0) for each in (outputs.double(), -outputs.double()))
    return (have - lack).float()


def _shares_and_limits(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> tuple[Tensor, Tensor]:
    """The probabilities [N, K] of labels, and the threshold [K] of each."""
    shares = probabilities(outputs)
    return shares, shares.new_tensor(thresholds_of(space, settings) or [EVEN] * len(space.names))
