"""The nearest neighbours of every image in feature space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1024
"""Images whose distances to all others are in memory together."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest of each image, itself left out, the nearest first: their places [N, k], and how far they are [N, k],
    1 less the cosine, from 0 for an equal direction to 2 for the opposite one."""

    places: Tensor
    distances: Tensor


def directions(features: Tensor, seen_from: Tensor | None = None) -> Tensor:
    """Features [N, D] as directions [N, D] of length 1, seen from the mean of all, or from another point [D].

    What all images have in common, as that features after a ReLU are never negative, would make all cosines large. An
    image that is the mean itself has no direction, and is 0.
    """
    centred = features.float() - (features.float().mean(0) if seen_from is None else seen_from)
    lengths = centred.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, centred / lengths.clamp(min=torch.finfo(torch.float32).tiny), 0.0)


def nearest(units: Tensor, k: int, tell: Callable[[int], None] = lambda _: None) -> Neighbours:
    """The `k` nearest of each of N directions [N, D], found exactly; `k` is less than N.

    It takes N² D multiplications, and memory for `BLOCK` times N distances. `tell` hears how many images are done.
    """
    places, distances = list[Tensor](), list[Tensor]()
    for start in range(0, len(units), BLOCK):
        block = units[start : start + BLOCK]
        cosines = block @ units.t()
        rows = torch.arange(len(block))
        cosines[rows, start + rows] = -torch.inf
        best = cosines.topk(k, dim=1)
        places.append(best.indices)
        distances.append((1 - best.values).clamp(0, 2))
        tell(start + len(block))
    return Neighbours(torch.cat(places), torch.cat(distances))
