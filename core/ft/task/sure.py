"""How far a figure can be trusted that was measured on so many images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ft.extension.tasks import Figure

WIDE = 0.1
"""An interval of a share of images that is wider than this tells runs apart only roughly."""


@dataclass(frozen=True)
class Interval:
    """From where to where a figure may lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Sure:
    """A figure that was measured, between which values it lies, and what a guess gets, as far as these are known."""

    figure: Figure
    value: float
    interval: Interval | None
    guess: float | None

    @property
    def tells(self) -> bool:
        """Whether the figure is surely better than the guess, or there is nothing to compare."""
        if self.guess is None or self.interval is None:
            return True
        better = self.interval.low > self.guess, self.interval.high < self.guess
        return better[0] if self.figure.larger_is_better else better[1]


@dataclass(frozen=True)
class Judged:
    """How far the figures can be trusted of the split by which a run is judged, and what its task warns of there."""

    split: str
    images: int
    sure: tuple[Sure, ...] = ()
    warnings: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The same for JSON: for each figure the ends of its interval, and what a guess gets; null where unknown."""
        figures = {
            each.figure.name: {
                "low": each.interval and each.interval.low,
                "high": each.interval and each.interval.high,
                "guess": each.guess,
            }
            for each in self.sure
        }
        return {"split": self.split, "images": self.images, "figures": figures, "warnings": list(self.warnings)}


def too_few(sure: Sure, images: str) -> Iterator[str]:
    """Yield what is to be said where so many images, as "40 validation images", are too few to tell."""
    figure, interval = sure.figure, sure.interval
    if not sure.tells:
        yield (
            f"{images} are too few to tell, or nothing was learned: what an answer without looking gets lies within "
            f"the range of the {figure.title}"
        )
    elif figure.of_images and interval and interval.high - interval.low > WIDE:
        yield (
            f"{images} tell runs apart only roughly: another run whose {figure.title} differs by less than about "
            f"{figure.written((interval.high - interval.low) / 2)} may be as good"
        )
