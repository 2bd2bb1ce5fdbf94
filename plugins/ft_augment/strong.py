"""`strong`: `standard`, and then some."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ft import Preprocessing
from ft_augment.standard import StandardSettings, erased, section


class StrongSettings(StandardSettings):
    erase: float = Field(0.25, ge=0, le=1, description="share of the images of which a rectangle is erased")


def build(preprocessing: Preprocessing, settings: StrongSettings) -> Any:
    """`standard`, one random change of geometry or colour (TrivialAugment, Mueller & Hutter 2021, wide space), and in
    some an erased rectangle."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    trivial = v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    return v2.Compose([*section(preprocessing, settings), trivial, *erased(preprocessing, settings)])
