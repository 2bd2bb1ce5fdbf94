"""`strong`: `standard`, and then some."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ft import Preprocessing
from ft_augment.standard import StandardSettings, section


class StrongSettings(StandardSettings):
    erase: float = Field(0.25, ge=0, le=1, description="share of the images of which a rectangle is erased")


def build(preprocessing: Preprocessing, settings: StrongSettings) -> Any:
    """`standard`, one random change of geometry or colour (TrivialAugment, Mueller & Hutter 2021, wide space), and an
    erased rectangle (Zhong et al. 2020) of the mean colour, which the network sees as nothing."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    trivial = v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    mean = [float(round(255 * each)) for each in preprocessing.mean]
    erased = v2.RandomErasing(p=settings.erase, value=mean)
    return v2.Compose([*section(preprocessing, settings), trivial, erased])
