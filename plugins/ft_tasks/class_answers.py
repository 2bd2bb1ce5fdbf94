"""What classification answers: the likeliest classes with their probabilities."""

from __future__ import annotations

import array
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft import Answer, LabelSpace
from ft_tasks.classification import ClassificationSettings, temperature_of


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


def answers(outputs: NDArray[np.float32], space: LabelSpace, settings: ClassificationSettings) -> Sequence[ClassAnswer]:
    """The answer to each image, of its logits [N, C], without torch."""
    scaled = outputs / np.float32(temperature_of(space))
    shares = np.exp(scaled - scaled.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    for row, answer in zip(shares, outputs.argmax(1), strict=True):
        if row.argmax() != answer:  # rounding made two equal; the largest logit is the answer
            row[answer] = np.nextafter(row[answer], np.float32(1))
    return [ClassAnswer(space.names, array.array("f", row.tobytes())) for row in shares]


def average_arrays(
    outputs: NDArray[np.float32], space: LabelSpace, settings: ClassificationSettings
) -> NDArray[np.float32]:
    """`average` of logits [V, N, C], without torch."""
    temperature = temperature_of(space)
    scaled = outputs.astype(np.float64) / temperature
    logarithms = scaled - np.logaddexp.reduce(scaled, axis=2, keepdims=True)
    averaged = temperature * (np.logaddexp.reduce(logarithms, axis=0) - np.log(len(outputs)))
    return np.asarray(averaged, np.float32)
