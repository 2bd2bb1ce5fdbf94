"""What classification answers: the likeliest classes with their probabilities."""

from __future__ import annotations

import array
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ft import Answer, LabelSpace
from ft_tasks.classification import ClassificationSettings
from ft_tasks.temperature import shares_of, temperature_of


@dataclass(frozen=True, repr=False)
class ClassAnswer(Answer):
    """How likely one image is of each class."""

    classes: tuple[str, ...]
    _shares: array.array[float]
    """In the order of `classes`; a mapping for each of 100,000 images and 1,000 classes would take 10 GB."""

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.classes[self._shares.index(self.probability)]

    @property
    def probability(self) -> float:
        """How likely that is, 0 to 1."""
        return max(self._shares)

    @property
    def probabilities(self) -> dict[str, float]:
        """Class name -> probability, the likeliest first; together they are 1."""
        return dict(sorted(zip(self.classes, self._shares, strict=True), key=lambda pair: -pair[1]))

    def said(self, top: int) -> dict[str, Any]:
        best = self._best(top)
        return {"classes": [name for name, _ in best], "probabilities": [share for _, share in best]}

    def row(self, top: int) -> dict[str, str | float]:
        cells: dict[str, str | float] = {}
        for place, (name, share) in enumerate(self._best(top), start=1):
            cells |= {f"class_{place}": name, f"probability_{place}": share}
        return cells

    def cells(self, top: int) -> dict[str, str]:
        best = enumerate(self._best(top), start=1)
        return {f"{place}.": f"{name} {share:.1%}" for place, (name, share) in best}

    def every(self) -> dict[str, float]:
        return dict(zip(self.classes, self._shares, strict=True))

    def folders(self) -> tuple[str]:
        return (self.label,)

    def _best(self, top: int) -> list[tuple[str, float]]:
        return heapq.nlargest(top, zip(self.classes, self._shares, strict=True), key=lambda pair: pair[1])

    def __repr__(self) -> str:
        said = ", ".join(self.cells(3).values())
        return f"<{self.image}: {said}>" if self.image else f"<{said}>"


def predict(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Sequence[ClassAnswer]:
    """The answer to each image, of its logits [N, C]."""
    shares = shares_of(outputs, temperature_of(space))
    return [ClassAnswer(space.names, array.array("f", row.numpy().tobytes())) for row in shares]


def uncertainty(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """1 less the margin between the two likeliest classes [N], from 0 to 1 (Scheffer, Decomain & Wrobel 2001, "Active
    hidden Markov models for information extraction"): a label teaches most where two classes are equally likely,
    however many others are not."""
    best = shares_of(outputs, temperature_of(space)).topk(2, dim=1).values
    return 1 - (best[:, 0] - best[:, 1])


def average(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """Logits [N, C] whose probabilities, at the temperature of the space, are the means of those of the views'
    [V, N, C]: a mixture of predictions, whose cross-entropy is at most the mean of theirs (Lakshminarayanan, Pritzel &
    Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles", section 2.4)."""
    temperature = temperature_of(space)
    logarithms = (outputs.double() / temperature).log_softmax(2)
    return (temperature * (logarithms.logsumexp(0) - math.log(len(outputs)))).float()
