"""How unlike the images that a model was trained on another image is: how far from the nearest of them it lies in
feature space (Sun, Ming, Zhu & Li 2022, "Out-of-distribution detection with deep nearest neighbors")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ft.insight.neighbours import directions
from ft.insight.outliers import K

KEPT = 0.95
"""The share of the validation images that counts as familiar; so much of what is like them does, then."""


@dataclass(frozen=True, eq=False)
class Familiar:
    """What a model knows: directions of training images [N, D] in float16, as they are seen from `mean` [D], and the
    `limit`: the distance from them within which so many validation images lie."""

    directions: Tensor
    mean: Tensor
    limit: float


def familiar_with(train: Tensor, val: Tensor) -> Familiar:
    """What a model knows whose features of training images [N, D] and of validation images [M, D] are these."""
    mean = train.float().mean(0)
    known = directions(train, mean).half()
    limit = torch.quantile(_distances(val, known, mean).double(), KEPT)
    return Familiar(known, mean, max(float(limit), 1e-6))


def unlikeness(features: Tensor, familiar: Familiar) -> Tensor:
    """How unlike the training images other images are [B], by their features [B, D]: the mean distance (1 less the
    cosine) to their 10 nearest, in units of the limit. Above 1 lie as many images as of validation: 5 %."""
    return _distances(features, familiar.directions, familiar.mean) / familiar.limit


def _distances(features: Tensor, known: Tensor, mean: Tensor) -> Tensor:
    cosines = directions(features, mean) @ known.float().t()
    return (1 - cosines.topk(min(K, len(known)), dim=1).values).clamp(min=0).mean(1)
