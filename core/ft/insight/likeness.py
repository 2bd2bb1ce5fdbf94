"""How alike two images are in what they show, whatever their size, brightness, contrast and compression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 32
"""Pixels of the side of the small grey square to which an image is reduced to be compared."""
COMMON = 64
"""Directions at most in which the images of a set differ most, which are left out of the comparison."""
PER_COMMON = 8
"""Images, at least, for each direction that is left out: copies are not to be what a set has in common."""
LOOKED_AT = 1024
"""Images from which it is told what a set has in common."""
TURNS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda small: small,
    "mirrored": lambda small: small.flip(-1),
    "upside down": lambda small: small.flip(-2),
    "turned by 180 degrees": lambda small: small.flip(-1, -2),
}
"""What may have been done to a copy, besides."""


def signature(image: Image.Image) -> Tensor:
    """An image as uint8 [SIDE, SIDE]: grey, its shape not kept.

    Each value is a mean of more pixels than lie below it, weighted as a triangle (which Pillow calls bilinear), so that
    a thin line looks the same whatever size the image had.
    """
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small, dtype=np.uint8))


@dataclass(frozen=True, eq=False)
class Common:
    """What the images of a set have in common: their mean [P] as `plain` sees them, and the directions [P, m] in which
    they differ most."""

    mean: Tensor
    directions: Tensor


def in_common(signatures: Tensor) -> Common:
    """What signatures [N, SIDE, SIDE] have in common.

    Photographs of one kind of thing, taken in one way, are alike as images: any two solar cells correlate by 0.9 and
    more, since all have the same bars. What tells them apart lies beside the directions of their largest variance.
    """
    some = plain(signatures[:: -(-len(signatures) // LOOKED_AT)])
    mean = some.mean(0)
    centred = some - mean
    most = min(COMMON, len(some) // PER_COMMON)
    values, vectors = torch.linalg.eigh((centred @ centred.t()).double())
    real = values.flip(0)[:most] > 1e-9 * values.abs().amax()
    spanning = centred.t() @ vectors.flip(1)[:, :most][:, real].float()
    return Common(mean, spanning / spanning.norm(dim=0).clamp(min=1e-12))


def plain(signatures: Tensor) -> Tensor:
    """Signatures as vectors [N, SIDE²] of mean 0 and length 1; an image of one grey is 0."""
    flat = signatures.float().flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return _of_length_1(centred)


def details(vectors: Tensor, common: Common) -> Tensor:
    """What is left of vectors that `plain` made without what is common, of length 1."""
    own = vectors - common.mean
    return _of_length_1(own - (own @ common.directions) @ common.directions.t())


def _of_length_1(vectors: Tensor) -> Tensor:
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 1e-4, vectors / lengths.clamp(min=1e-12), 0.0)
