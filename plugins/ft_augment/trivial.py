"""`trivial`: one random change."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ft import Preprocessing, Settings


class TrivialSettings(Settings):
    bins: int = Field(31, ge=2, description="number of strengths from none to the largest")


def build(preprocessing: Preprocessing, settings: TrivialSettings) -> Any:
    """One change of geometry or colour of a random strength (Mueller & Hutter 2021, wide space), of the square that
    evaluation sees."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    return v2.TrivialAugmentWide(num_magnitude_bins=settings.bins, interpolation=InterpolationMode.BILINEAR)
