"""Axes: which range they show, where their ticks stand, and how these are written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ft.text.counting import written

TICKS = 6
"""Ticks of an axis at most, about."""


@dataclass(frozen=True)
class Axis:
    """A range of numbers on a stretch of a drawing, from `start` to `end` in its units."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a number lies in the drawing, to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, whole: bool = False) -> tuple[float, ...]:
    """Round numbers in a range, evenly apart; only `whole` ones, where that makes sense.

    >>> ticks(0, 1), ticks(1, 4, whole=True), ticks(0.62, 0.88)
    ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0), (0.7, 0.8))
    """
    rough = (high - low) / (TICKS - 1)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10, 20) if unit * factor >= rough * (1 - 1e-9))
    if whole:
        step = max(1.0, float(math.ceil(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return tuple(round(number * step, digits) + 0.0 for number in range(first, last + 1))


def tick_labels(values: Sequence[float], form: str) -> tuple[str, ...]:
    """Numbers at an axis by one of Python's formats, with as many more decimals as it takes to tell each as it is.

    >>> tick_labels((0.855, 0.86), ".0%"), tick_labels((0.8, 0.9), ".0%"), tick_labels((0.5, 1.0), "g")
    (('85.5%', '86.0%'), ('80%', '90%'), ('0.5', '1'))
    """
    fixed = re.fullmatch(r"(,?)\.(\d+)([f%])", form)
    if fixed is None:
        return tuple(written(value, form) for value in values)
    for decimals in range(int(fixed[2]), int(fixed[2]) + 6):
        places = decimals + 2 * (fixed[3] == "%")
        if all(math.isclose(value, round(value, places), rel_tol=1e-9) for value in values):
            break
    return tuple(written(value, f"{fixed[1]}.{decimals}{fixed[3]}") for value in values)


def shown_range(values: Sequence[float], with_zero: bool, share: bool = False) -> tuple[float, float]:
    """The range of an axis that shows these values, with a little air; one that shows a `share` ends at 0 and 1.

    >>> shown_range([2, 4], with_zero=True), shown_range([3, 3], with_zero=False), shown_range([], with_zero=False)
    ((0.0, 4.2), (2.5, 3.5), (0.0, 1.0))
    >>> shown_range([1, 1], with_zero=False, share=True)[1]
    1.0
    """
    if not values:
        return 0.0, 1.0
    low, high = float(min(values)), float(max(values))
    if with_zero:
        low, high = min(0.0, low), max(0.0, high)
    if low == high:
        wide = abs(low) / 6 or 0.5
        low, high = low - wide, high + wide
    else:
        air = (high - low) / 20
        low, high = low - air * (not with_zero or low < 0), high + air * (not with_zero or high > 0)
    return (max(0.0, low), min(1.0, high)) if share else (low, high)
