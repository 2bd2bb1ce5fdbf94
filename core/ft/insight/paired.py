"""Whether one way to answer is better than another, by what both answer to the same images."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ft.insight.intervals import Interval, bootstrap, mcnemar

CHANCE = 0.05
"""A difference that is less likely than this among equals is taken for more than chance."""


@dataclass(frozen=True)
class Paired:
    """A second way beside a first. `means` are those of the values of both, `better` and `worse` on how many images the
    second fares better, and worse.

    Where each value is right or wrong, `p` is how likely ways that are equally good differ as much; else `interval` is
    where the difference of the means lies.
    """

    images: int
    means: tuple[float, float]
    better: int
    worse: int
    p: float | None
    interval: Interval | None

    @property
    def is_more_than_chance(self) -> bool:
        if self.p is not None:
            return self.p < CHANCE
        return self.interval is not None and not self.interval.low <= 0 <= self.interval.high


def paired(first: Tensor, second: Tensor, larger_is_better: bool = True) -> Paired:
    """Compare by a value for each image [N], in float64: 1 or 0 for right or wrong, or how far an answer is off."""
    change = second - first
    ahead = change if larger_is_better else -change
    right_or_wrong = all(bool(((each == 0) | (each == 1)).all()) for each in (first, second))
    better, worse = int((ahead > 0).sum()), int((ahead < 0).sum())
    return Paired(
        len(first),
        (float(first.mean()), float(second.mean())),
        better,
        worse,
        mcnemar(worse, better) if right_or_wrong else None,
        None if right_or_wrong else bootstrap(lambda places: float(change[places].mean()), len(change)),
    )
