"""Images that are unlike all others: far from their nearest neighbours in feature space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

K = 10
"""Neighbours whose mean distance says how far an image lies from the others: so many, or all others where there are
fewer. A single one would hide an image that is there twice."""
FAR = 3.5
"""Robust deviations above the median from which an image is one (Iglewicz & Hoaglin 1993, "How to detect and handle
outliers", section 3)."""
_TO_DEVIATION = 1.4826
"""What the median absolute deviation of a normal distribution is multiplied by to be its standard deviation."""
FEWEST = 8
"""Images below which nothing is said: a median of a handful is no measure of what is usual."""


@dataclass(frozen=True)
class Stranger:
    """An image that is unlike the others: its place, and how many robust deviations it lies above the median."""

    place: int
    score: float


def strangeness(distances: Tensor) -> Tensor:
    """How strange each image is [N], from the distances [N, k] to its k nearest: their mean (Angiulli & Pizzuti 2002,
    "Fast outlier detection in high dimensional spaces"), as a logarithm, since distances are skewed, in robust
    deviations above the median of all."""
    logs = distances.double().mean(1).clamp(min=1e-12).log()
    middle = logs.median()
    spread = _TO_DEVIATION * (logs - middle).abs().median()
    return (logs - middle) / spread.clamp(min=1e-9)


def find_strangers(distances: Tensor) -> tuple[Stranger, ...]:
    """The images that are strange, the strangest first."""
    if len(distances) < FEWEST:
        return ()
    scores = strangeness(distances)
    found = [Stranger(place, float(scores[place])) for place in torch.nonzero(scores > FAR).flatten().tolist()]
    return tuple(sorted(found, key=lambda each: -each.score))
