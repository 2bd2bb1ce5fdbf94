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


@dataclass(frozen=True)
class Position:
    """Turns an image [..., S, S] by so many quarters, and mirrors it left to right, or not."""

    quarters: int
    across: bool

    def __call__(self, image: Tensor) -> Tensor:
        turned = image.rot90(self.quarters, (-2, -1)) if self.quarters else image
        return turned.flip(-1) if self.across else turned


def positions(rotate: bool, mirror: bool) -> list[Position]:
    """All that `Quarters` makes of an image, each once, the image itself first. Mirrored left to right and top to
    bottom is turned by two quarters."""
    mirrored = (False, True) if mirror else (False,)
    turns = (0, 2, 1, 3) if rotate else (0, 2) if mirror else (0,)
    return [Position(quarters, across) for quarters in turns for across in mirrored]
