"""From which probability on an image is said to have a label, and how well a label's probabilities rank images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ft_tasks.multilabel import EVEN


@dataclass(frozen=True, eq=False)
class Ranking:
    """One label's images by falling logit, images with equal logits together: for each distinct logit [D], how many
    images have it or a higher one, `claimed`, and how many of these have the label, `hits`; all in float64."""

    logits: NDArray[np.float32]
    claimed: NDArray[np.float64]
    hits: NDArray[np.float64]

    @property
    def positives(self) -> float:
        return float(self.hits[-1]) if len(self.hits) else 0.0

    def average_precision(self) -> float:
        """The mean over the images with the label of the precision at their logit, as scikit-learn computes it: without
        interpolation. Meaningless where there are none."""
        precision, found = self.hits / self.claimed, self.hits / self.positives
        gained = np.diff(found, prepend=0.0)
        return float((gained * precision).sum())

    def best_threshold(self) -> float:
        """The probability at which F1 is highest, midway between the images' that it separates; of equally good ones
        the highest. Even odds where no image has the label."""
        if not self.positives:
            return EVEN
        f1 = 2 * self.hits / (self.claimed + self.positives)
        at = int(f1.argmax())
        above, below = self._probability(at), self._probability(at + 1) if at + 1 < len(f1) else 0.0
        between = (above + below) / 2
        return between if below < between else above

    def _probability(self, place: int) -> float:
        return float(probabilities(self.logits[place]))


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """In float64, in which two logits that differ in float32 rarely become one probability."""
    with np.errstate(over="ignore"):  # of a label that is surely not there
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def ranking(logits: NDArray[np.float32], positive: NDArray[np.bool_]) -> Ranking:
    """Rank images by `logits` [N], of which those that are `positive` [N] have the label."""
    order = np.argsort(-logits, kind="stable")
    ordered, hits = logits[order], positive[order].cumsum(dtype=np.float64)
    last = np.ones(len(ordered), np.bool_)
    last[:-1] = ordered[:-1] != ordered[1:]
    places = last.nonzero()[0]
    return Ranking(ordered[places], (places + 1).astype(np.float64), hits[places])
