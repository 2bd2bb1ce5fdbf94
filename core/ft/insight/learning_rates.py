"""What losses tell that were seen while the learning rate rose: where they fall fastest, where they are lowest, and
which rate to take (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BANDWIDTH = 0.25
"""Decades: the deviation of the bell of weights with which neighbours count where losses are smoothed."""
NEIGHBOURS = 2.5
"""Steps that the bell's deviation spans at least."""
FEWEST = 10
"""Losses from which a curve is read."""
DEEP = 10.0
"""What fraction of the rate of the lowest loss is safe (as fastai has it)."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RateCurve:
    """Losses by learning rate, in the order in which they were seen, and a smooth curve through them.

    `steepest` is the rate at which the curve falls fastest, by the logarithm of the rate, and `lowest` where it is
    lowest; `suggested` is the smaller one of the former and a tenth of the latter. All are None where the loss did not
    clearly fall. `why` says in a sentence how it was chosen, or why nothing was.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    steepest: float | None
    lowest: float | None
    suggested: float | None
    why: str


def read_curve(rates: Sequence[float], losses: Sequence[float]) -> RateCurve:
    """Smooth the losses, which are finite and seen at rising `rates`, and choose a rate.

    One batch's loss differs from the next one's, so each point of the curve is the value of a line fitted to its
    neighbours (Cleveland 1979), and the slope is that line's. What lies so far above the first losses as the lowest
    lies below counts as no more than that: where training goes to pieces, one loss outweighs all others.
    """
    seen = tuple(rates), tuple(losses)
    if len(losses) < FEWEST:
        return RateCurve(*seen, tuple(losses), None, None, None, f"{len(losses)} losses are too few to read a curve")
    places, values = np.log10(np.asarray(rates)), np.asarray(losses, dtype=np.float64)
    first = float(np.median(values[: max(3, len(values) // 10)]))
    rough, _ = smoothed(places, values)
    values = np.minimum(values, first + max(first - float(rough.min()), float(np.ptp(values[:FEWEST]))))
    curve, slopes = smoothed(places, values)
    bottom = int(curve.argmin())
    smooth = tuple(map(float, curve))
    noise = float(np.std(values[: bottom + 1] - curve[: bottom + 1]))
    fall = float(curve[: max(1, len(curve) // 10)].mean() - curve[bottom])
    if bottom == 0 or fall <= max(noise, 1e-3 * abs(first)):
        why = (
            f"the loss does not clearly fall at any rate: by {max(0.0, fall):.2g}, where one batch differs from the "
            f"next by {noise:.2g}"
        )
        return RateCurve(*seen, smooth, None, None, None, why)
    steepest, lowest = rates[int(slopes[: bottom + 1].argmin())], rates[bottom]
    suggested = float(f"{min(steepest, lowest / DEEP):.2g}")
    chosen = "the former" if steepest <= lowest / DEEP else "the latter"
    why = (
        f"the loss falls fastest at {steepest:.2g} and is lowest at {lowest:.2g}, a tenth of which is "
        f"{lowest / DEEP:.2g}; {chosen} is smaller"
    )
    return RateCurve(*seen, smooth, steepest, lowest, suggested, why)


def smoothed(places: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """The value and the slope, at each place, of the line that fits its neighbours best, by their distance."""
    width = max(BANDWIDTH, NEIGHBOURS * float(np.ptp(places)) / max(1, len(places) - 1))
    apart = places[None, :] - places[:, None]
    weights = np.exp(-0.5 * (apart / width) ** 2)
    weights /= weights.sum(1, keepdims=True)
    middle, mean = (weights * apart).sum(1), weights @ values
    spread = (weights * (apart - middle[:, None]) ** 2).sum(1)
    slopes = (weights * (apart - middle[:, None]) * (values[None, :] - mean[:, None])).sum(1) / spread
    return mean - slopes * middle, slopes
