"""`flip`: mirrored left to right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from ft import Preprocessing, Settings


class FlipSettings(Settings):
    p: float = Field(0.5, ge=0, le=1, description="share of the images that are mirrored")


def build(preprocessing: Preprocessing, settings: FlipSettings) -> Any:
    """Mirror the square that evaluation sees."""
    from torchvision.transforms import v2

    return v2.RandomHorizontalFlip(settings.p)


def positions(settings: FlipSettings) -> Sequence[Callable[[Any], Any]]:
    """The square, and its mirror image; none where one of them is made more often."""
    from ft_augment.quarters import Position

    return [Position(0, across=False), Position(0, across=True)] if settings.p == 0.5 else []
