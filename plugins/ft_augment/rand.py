"""`rand`: several random changes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ft import Preprocessing, Settings


class RandSettings(Settings):
    changes: int = Field(2, ge=1, description="number of changes, one after the other")
    strength: int = Field(9, ge=0, le=30, description="of each, from 0 to 30")


def build(preprocessing: Preprocessing, settings: RandSettings) -> Any:
    """Some changes of geometry or colour of one strength (Cubuk et al. 2020), of the square that evaluation sees."""
    from torchvision.transforms import v2
    from torchvision.transforms.v2 import InterpolationMode

    return v2.RandAugment(settings.changes, settings.strength, interpolation=InterpolationMode.BILINEAR)
