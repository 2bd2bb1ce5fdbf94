"""The way from an image of any size to the network's square as arithmetic that a format can carry along: bit for bit
what torch's resize of uint8 images gives, in float64, which holds its whole numbers exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ft.data.resizing import LARGEST_WEIGHT, MOST_BITS, mean_colour
from ft.extension.records import Preprocessing

_REACH = {"bilinear": 1.0, "bicubic": 2.0}


class Square(nn.Module):
    """Makes of uint8 images [N, H, W, 3] of any one size what the network sees of them, uint8 [N, 3, S, S].

    Images more than `MOST_SIDES` times as long as wide, which ft resizes with Pillow, may differ by a level or two.
    Sizes stay symbols while it is exported: nothing here branches on one.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._preprocessing, self._side = preprocessing, preprocessing.crop_size
        self.register_buffer("fill", torch.tensor(mean_colour(preprocessing), dtype=torch.float64)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[1], images.shape[2]
        pixels = images.permute(0, 3, 1, 2).to(torch.float64)
        across, columns = self._made_of(width, height)
        down, rows = self._made_of(height, width)
        pixels = _rounded(pixels @ across[0].T, across[1])  # torch begins with the width, and rounds between them
        pixels = _rounded(down[0] @ pixels, down[1])
        if self._preprocessing.fit == "pad":
            fill: Tensor = self.get_buffer("fill")
            pixels = torch.where(rows[:, None] & columns, pixels, fill)
        return pixels.to(torch.uint8)

    def _made_of(self, length: Any, other: Any) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """How the square's places of one direction are made of `length` pixels [S, length], and which of them [S] are
        not filled up."""
        side, fit = self._side, self._preprocessing.fit
        if fit == "crop":
            shorter = self._preprocessing.resize_size
            resized = torch.sym_max(shorter, shorter * length // other)
            spare = resized - side
            begin = spare // 2 + (spare % 2) * (spare // 2 % 2)  # half to even, as center_crop rounds
        elif fit == "squash":
            resized, begin = side, 0
        else:
            longer = torch.sym_max(length, other)
            whole, rest = side * length // longer, side * length % longer
            up = torch.sym_max(2 * rest + whole % 2 - 1, 0) // longer  # half to even, as round does
            resized = torch.sym_max(1, whole + up)
            begin = -((side - resized) // 2)
        places = torch.arange(side) + begin
        weights, scale = self._weights(length, resized)
        inside = (places >= 0) & (places < resized)
        return (weights.index_select(0, places.clamp(min=0).minimum(_number(resized, torch.int64) - 1)), scale), inside

    def _weights(self, length: Any, resized: Any) -> tuple[Tensor, Tensor]:
        """As `ft.data.resizing.weights`, with a column for each pixel, and 2 to the power of the bits."""
        reach = _REACH[self._preprocessing.interpolation]
        scale = _number(length, torch.float64) / _number(resized, torch.float64)
        stretch = scale.clamp(min=1.0)
        centre = (scale * (torch.arange(resized, dtype=torch.float64) + 0.5))[:, None]
        first = (centre - reach * stretch + 0.5).to(torch.int64).clamp(min=0)
        last = (centre + reach * stretch + 0.5).to(torch.int64).minimum(_number(length, torch.int64))
        pixels = torch.arange(length)
        within = ((pixels >= first) & (pixels < last)).to(torch.float64)
        shares = self._share((pixels.to(torch.float64) - centre + 0.5) / stretch) * within
        shares = shares / shares.sum(1, keepdim=True)
        powers = 2.0 ** torch.arange(1, MOST_BITS + 1, dtype=torch.float64)
        bits = ((0.5 + shares.max() * powers).floor() < LARGEST_WEIGHT).to(torch.float64).sum()
        one = torch.pow(torch.full((), 2.0, dtype=torch.float64), bits)
        scaled = shares * one
        return torch.where(scaled < 0, (scaled - 0.5).ceil(), (scaled + 0.5).floor()), one

    def _share(self, x: Tensor) -> Tensor:
        x, a = x.abs(), -0.5
        if self._preprocessing.interpolation == "bilinear":
            return (1 - x).clamp(min=0)
        near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
        return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _number(size: Any, dtype: torch.dtype) -> Tensor:
    return torch.full((), size, dtype=dtype)


def _rounded(sums: Tensor, one: Tensor) -> Tensor:
    return ((sums + one / 2) / one).floor().clamp(0, 255)
