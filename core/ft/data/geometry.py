"""Which part of an image the network sees, in the image's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ft.data.resizing import resized
from ft.extension.records import Preprocessing


@dataclass(frozen=True)
class Part:
    """A rectangle, in pixels of an image from its left and its upper edge; where it was filled up, part of it lies
    outside."""

    left: float
    top: float
    right: float
    bottom: float

    def inside(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what lies in an image of that size, in whole pixels."""
        left, top = max(0, round(self.left)), max(0, round(self.top))
        return left, top, min(width, round(self.right)), min(height, round(self.bottom))


def seen_part(preprocessing: Preprocessing, height: int, width: int) -> Part:
    """Which part of an image becomes the network's square."""
    rows, columns = resized(preprocessing, height, width)
    top, bottom = _edges(rows, preprocessing.crop_size, height)
    left, right = _edges(columns, preprocessing.crop_size, width)
    return Part(left, top, right, bottom)


def share_seen(preprocessing: Preprocessing, height: int, width: int) -> float:
    """How much of an image's area the network sees, 0 to 1."""
    left, top, right, bottom = seen_part(preprocessing, height, width).inside(height, width)
    return (right - left) * (bottom - top) / (height * width)


def laid_out(seen: Tensor, part: Part, height: int, width: int) -> Tensor:
    """What was found of the network's square, [S, S], in the place of `part` of an image: [H, W], 0 around it."""
    rows = _places(height, part.top, part.bottom)
    columns = _places(width, part.left, part.right)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
    laid = F.grid_sample(seen[None, None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    within = (rows.abs() <= 1)[:, None] & (columns.abs() <= 1)
    return laid[0, 0] * within


def _edges(length: int, side: int, original: int) -> tuple[float, float]:
    """Where the square begins and ends along one direction that was resized from `original` pixels."""
    # As torchvision's center_crop cuts, and fills where there is less.
    begin = round((length - side) / 2) if length >= side else -((side - length) // 2)
    return begin * original / length, (begin + side) * original / length


def _places(length: int, begin: float, end: float) -> Tensor:
    """The middle of each pixel, where -1 is where the square begins and 1 where it ends."""
    return ((torch.arange(length) + 0.5 - begin) / (end - begin)) * 2 - 1
