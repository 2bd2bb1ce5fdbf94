"""multilabel: what is said of an image."""

from __future__ import annotations

import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft import Answer, LabelSpace
from ft_tasks.multilabel import EVEN, MultilabelSettings, thresholds_of
from ft_tasks.thresholds import probabilities


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


def answers(outputs: NDArray[np.float32], space: LabelSpace, settings: MultilabelSettings) -> Sequence[LabelsAnswer]:
    """Answer for each image of outputs [N, K], without torch."""
    shares = probabilities(outputs)
    over = shares >= np.asarray(thresholds_of(space, settings) or [EVEN] * len(space.names))
    told = []
    for image, places in enumerate(np.argsort(-shares, axis=1, kind="stable")):
        kept = places[over[image][places]].astype(np.int64)
        single = array.array("f", shares[image].astype(np.float32).tobytes())
        told.append(LabelsAnswer(space.names, single, array.array("q", kept.tobytes()), settings.separator))
    return told


def average_arrays(
    outputs: NDArray[np.float32], space: LabelSpace, settings: MultilabelSettings
) -> NDArray[np.float32]:
    """`average` of logits [V, N, K], without torch."""
    logits = outputs.astype(np.float64)
    have, lack = (np.logaddexp.reduce(-np.logaddexp(0, -each), axis=0) for each in (logits, -logits))
    return np.asarray(have - lack, np.float32)
