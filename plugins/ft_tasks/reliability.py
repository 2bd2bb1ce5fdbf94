"""How often answers of so much probability are right: the bins of a reliability diagram, and the expected calibration
error (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, "On calibration of modern neural networks", section 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 15
"""Of equal width, as in the paper."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """For each bin of probabilities [BINS], in float64: how many answers are in it, their mean probability, and the
    share of them that are right; 0 where there are none."""

    counts: Tensor
    said: Tensor
    right: Tensor

    def expected_error(self) -> float:
        """The mean over answers of how far the probability of their bin is from the share of it that is right."""
        weights = self.counts / self.counts.sum().clamp(min=1)
        return float((weights * (self.said - self.right).abs()).sum())


def reliability(probabilities: Tensor, right: Tensor) -> Reliability:
    """Put answers into bins by their probability [N], which are `right` [N] or not. A bin holds its upper end."""
    places = (probabilities.double() * BINS).ceil().long().sub(1).clamp(0, BINS - 1)
    counts = torch.bincount(places, minlength=BINS).double()
    said, hits = (
        torch.bincount(places, weights=each.double(), minlength=BINS) / counts.clamp(min=1)
        for each in (probabilities, right)
    )
    return Reliability(counts, said, hits)
