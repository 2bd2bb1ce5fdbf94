"""How near features that were computed otherwise are to the plain network's, by what tells images apart.

What all images have in common says nothing about any of them, however large it is: beside a constant of 1,000 all that
differs between images may be lost, and features are a thousandth off by their norm. So errors are measured beside the
spread, which is what is left of the features without their mean over images, and by answers of linear heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ft.prefix.records import Tensors

HEADS = 32
"""Random heads that are asked; with 16 images that is 512 answers."""
CONSTANT = 1e-6
"""Spread, beside the norm, below which features that are computed in fp32 differ by its rounding only."""


@dataclass(frozen=True)
class Nearness:
    """How far features of several tensors are off, each taken by itself, in the worst of them.

    `spread` is the norm of the error beside that of the features without their mean over images. `answers` is the share
    of answers (images times heads) that change when a linear head tells two classes apart. Its weights are random, and
    half of the features lie on either side; a number counts by its own spread, or where it hardly moves by the median
    of all, since rounding is all there is to see of it. Both are infinity where shapes, whole numbers, or which values
    are finite differ.
    """

    spread: float
    answers: float

    def within(self, limit: Nearness) -> bool:
        return self.spread <= limit.spread and self.answers <= limit.answers

    def __str__(self) -> str:
        if math.isinf(self.spread):
            return "differs in which values are finite, or in whole numbers"
        return (
            f"is off by {self.spread:.1%} of what tells images apart, and changes {self.answers:.1%} of a random "
            "head's answers"
        )


NEAR_IN_BF16 = Nearness(spread=0.25, answers=0.1)
"""How near features have to be in bf16. docs/cache.md lists what was measured: 0.15 and 0.06 at most, of
EfficientNet-Lite0. Errors of a quarter of the spread change 8 % of answers."""
NEAR_IN_FP32 = Nearness(spread=0.05, answers=0.02)
"""How near in fp32, computed in another sequence, also by a GPU that rounds what it multiplies to 10 bits (TF32). A
processor is a thousand times as near."""


def nearness(found: Tensors, reference: Tensors) -> Nearness:
    """Compare tensors of features, row i of each being image i's, with the plain network's."""
    spread = apart(found, reference, reference)
    if math.isinf(spread):
        return Nearness(math.inf, math.inf)
    changed = (_answers_changed(*pair) for pair in zip(found, reference, strict=True) if pair[1].is_floating_point())
    return Nearness(spread, max(changed, default=0.0))


def apart(found: Tensors, expected: Tensors, among: Tensors) -> float:
    """How far rows of tensors are off: the root mean square of the error, an image, beside that of the spread of the
    images that are `among`; the largest of all tensors.

    0 where all is equal, infinity where shapes, whole numbers or which values are finite differ.
    """
    return max(map(_apart, found, expected, among), default=0.0)


def _apart(found: torch.Tensor, expected: torch.Tensor, among: torch.Tensor) -> float:
    if found.shape != expected.shape or not torch.equal(found.isfinite(), expected.isfinite()):
        return math.inf
    x, y, z = map(_numbers, (found, expected, among))
    if torch.equal(x, y):
        return 0.0
    if not expected.is_floating_point():
        return math.inf
    spread = max(_size(z - z.mean(0)), CONSTANT * _size(z))
    return _size(x - y) / spread if spread else math.inf


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """[N, D] in float64, with 0 in place of what is not finite."""
    return tensor.detach().reshape(len(tensor), -1).cpu().double().nan_to_num(0.0, 0.0, 0.0)


def _size(rows: torch.Tensor) -> float:
    return float(rows.norm()) / math.sqrt(len(rows))


def _answers_changed(found: torch.Tensor, reference: torch.Tensor) -> float:
    x, y = _numbers(found), _numbers(reference)
    mean = y.mean(0)
    x, y = x - mean, y - mean
    spread = y.square().mean(0).sqrt()
    moving = spread[spread > 0]
    scale = spread.clamp(min=float(moving.median()) if len(moving) else 1.0)
    generator, changed = torch.Generator().manual_seed(0), 0.0
    for _ in range(HEADS):
        weight = torch.randn(y.shape[1], generator=generator, dtype=torch.float64) / scale
        changed += float(((x @ weight > 0) != (y @ weight > 0)).double().mean())
    return changed / HEADS
