"""Several views of an image that is asked about, each a function of the seed and of the image itself."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ft.data.augmentation import Step
from ft.data.transforms import Transform
from ft.data.values import Range
from ft.machine.randomness import seeded


@dataclass(frozen=True)
class Views:
    """Makes of an image so many views, uint8 [V, 3, S, S], the first of which is what evaluation sees: `square`.

    The others are what the first `positions` make of that, where there are any; else what `varied`, a transform of
    training images, draws. What it draws is a function of (seed, view, pixels of the square): the same for the same
    image, whatever its name, and whichever images are asked about with it, in whatever order, by which process.
    """

    square: Transform
    number: int
    seed: int
    positions: tuple[Step, ...] = ()
    varied: Transform | None = None

    @property
    def value_range(self) -> Range | None:
        return self.square.value_range

    @property
    def least(self) -> int | None:
        return self.square.least if self.varied is None else self.varied.least

    def __call__(self, image: Tensor) -> Tensor:
        square = self.square(image)
        if self.positions:
            return torch.stack([position(square) for position in self.positions[: self.number]])
        return torch.stack([square, *self._drawn(image, square)])

    def _drawn(self, image: Tensor, square: Tensor) -> Iterator[Tensor]:
        assert self.varied is not None
        content = hashlib.blake2b(square.contiguous().numpy().tobytes(), digest_size=16).digest()
        for view in range(1, self.number):
            told = struct.pack("<2Q", self.seed, view) + content
            with seeded(int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "little")):
                yield self.varied.vary(square) if self.varied.varied else self.varied(image)
