"""`geometric`: turned by quarters and mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from ft import Preprocessing, Settings


class GeometricSettings(Settings):
    rotate: bool = Field(True, description="turn by 0, 90, 180 or 270 degrees, each as often")
    mirror: bool = Field(True, description="mirror left to right, and top to bottom, each half of the time")


def build(preprocessing: Preprocessing, settings: GeometricSettings) -> Any:
    """The square that evaluation sees, in one of its eight positions: for microscopes, satellites and solar cells,
    where none is the upright one. No pixel is computed anew."""
    from ft_augment.quarters import Quarters

    return Quarters(settings.rotate, settings.mirror)


def positions(settings: GeometricSettings) -> Sequence[Callable[[Any], Any]]:
    """The positions, one, four or eight, the upright one first."""
    from ft_augment.quarters import positions

    return positions(settings.rotate, settings.mirror)
