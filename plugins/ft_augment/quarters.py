"""The eight positions of a square."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quarters:
    """Turns and mirrors an image [..., S, S]; what it draws comes from torch's generator."""

    rotate: bool
    mirror: bool

    def __call__(self, image: Tensor) -> Tensor:
        quarters, across, down = (int(each) for each in torch.randint(0, 4, (3,)))
        if self.rotate:
            image = image.rot90(quarters, (-2, -1))
        if self.mirror:
            image = image.flip([axis for axis, drawn in ((-1, across), (-2, down)) if drawn % 2])
        return image
