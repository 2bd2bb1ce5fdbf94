"""A curve as lines of text, for terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of Braille's eight dots, by row and column."""
BRAILLE = 0x2800


@dataclass(frozen=True)
class Plot:
    """What is drawn: points (x, y), each two finite numbers, in a field of `columns` x `rows` characters, and below it
    `marks`, each a place on the x axis with what stands there. `y_form` is how numbers beside it are written."""

    points: Sequence[tuple[float, float]]
    columns: int = 60
    rows: int = 10
    y_form: str = ".3g"
    marks: Sequence[tuple[float, str]] = ()


def plotted(plot: Plot, ascii_only: bool = False) -> list[str]:
    """The lines of a plot whose x axis has powers of ten: the points' x are exponents.

    >>> print("\\n".join(plotted(Plot([(0, 3), (1, 1), (2, 2)], columns=9, rows=3, y_form="g"), ascii_only=True)))
    3 |*
      |        *
    1 |    *
      +---------
       1   10 100
    """
    if not plot.points:
        return []
    across, down = (1, 1) if ascii_only else (2, 4)
    (left, right), (low, high) = (_range([each[axis] for each in plot.points]) for axis in (0, 1))
    cells: dict[tuple[int, int], int] = {}
    for x, y in plot.points:
        column = round((x - left) / (right - left) * (plot.columns * across - 1))
        row = round((high - y) / (high - low) * (plot.rows * down - 1))
        cell = row // down, column // across
        cells[cell] = cells.get(cell, 0) | DOTS[row % down][column % across]
    labels = {0: format(high, plot.y_form), plot.rows - 1: format(low, plot.y_form)}
    edge = max(map(len, labels.values()))
    wall, corner, floor = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    lines = [
        f"{labels.get(row, ''):>{edge}} {wall}"
        + "".join(_drawn(cells.get((row, column), 0), ascii_only) for column in range(plot.columns)).rstrip()
        for row in range(plot.rows)
    ]

    def place(x: float) -> int:
        return round((x - left) / (right - left) * (plot.columns - 1))

    ticks = [
        (place(power), f"{10.0**power:g}") for power in range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1)
    ]
    margin = " " * (edge + 2)
    lines += [f"{margin[:-1]}{corner}{floor * plot.columns}", margin + _along(ticks, plot.columns)]
    for x, text in plot.marks:
        lines.append(margin + _along([(place(x), f"{'^' if ascii_only else '▲'} {text}")], plot.columns, centred=False))
    return [line.rstrip() for line in lines]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _drawn(dots: int, ascii_only: bool) -> str:
    if ascii_only:
        return "*" if dots else " "
    return chr(BRAILLE + dots) if dots else " "


def _along(texts: Sequence[tuple[int, str]], columns: int, centred: bool = True) -> str:
    """Texts at their places in a line, as many as fit beside each other; one that would stand out moves back."""
    line = ""
    for place, text in texts:
        start = place - (len(text) - 1) // 2 if centred else place
        start = max(0, min(start, columns - len(text) + (1 if centred else 0)))
        if not line or start > len(line):
            line = f"{line:<{start}}{text}"
    return line
