"""How the images of a batch are blended, each with that of the opposite place: mixup, CutMix, manifold mixup."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta

from ft.config.training import TrainingConfig

Box = tuple[int, int, int, int]
"""Top, left, bottom and right of a rectangle in pixels, the last two outside it."""


@dataclass(frozen=True)
class Blend:
    """What each image keeps of itself, a `share` of it; the rest is of the other. Where there is a `box`, the image is
    the other's inside it, and its own outside."""

    share: float = 1.0
    box: Box | None = None

    def of(self, tensors: Tensor) -> Tensor:
        """Blend tensors [N, ...]; images [N, 3, S, S], where there is a box."""
        if self.share == 1.0:
            return tensors
        others = tensors.flip(0)
        if self.box is None:
            return tensors.lerp(others, 1 - self.share)
        top, left, bottom, right = self.box
        pasted = tensors.clone()
        pasted[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        return pasted


ITSELF = Blend()
"""Each image is itself."""


def draw_blend(training: TrainingConfig, side: int) -> Blend:
    """Draw how the images of a step, of `side` pixels, or the features of them, are blended, from torch's generator.

    Of mixup (Zhang et al. 2018, section 2) and CutMix (Yun et al. 2019, section 3.1), where both are asked for, each
    has half of the steps. Manifold mixup (Verma et al. 2019, section 2) draws its share as mixup does.
    """
    mixup = training.mixup or training.manifold_mixup
    if not mixup and not training.cutmix:
        return ITSELF
    if training.cutmix and (not mixup or bool(torch.rand(()) < 0.5)):
        return _pasted(float(Beta(training.cutmix, training.cutmix).sample()), side)
    return Blend(float(Beta(mixup, mixup).sample()))


def _pasted(share: float, side: int) -> Blend:
    """A box of the area that is not the image's own share, around a pixel that is drawn, as far as it lies inside; and
    the share that then is left."""
    half = int(side * (1 - share) ** 0.5) // 2
    row, column = (int(each) for each in torch.randint(side, (2,)))
    top, left, bottom, right = (
        min(max(place, 0), side) for place in (row - half, column - half, row + half, column + half)
    )
    return Blend(1 - (bottom - top) * (right - left) / side**2, (top, left, bottom, right))
