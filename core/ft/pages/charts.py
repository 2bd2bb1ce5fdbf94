"""Charts as drawings: which lines, bars and points stand where, in the units of an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ft.extension.sections import Chart, Line
from ft.pages.scales import Axis, shown_range, tick_labels, ticks
from ft.pages.wanted import MOST_POINTS, spread
from ft.text.counting import written

WIDTH, HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 14, 12, 46
MOST_LINES = 8
"""Lines of one chart: as many as there are colours that are told apart."""
_MARKED = 40
"""A line of no more points than this has a mark at each."""


@dataclass(frozen=True)
class Tick:
    """A line across the drawing, and what stands at its end."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A point or a bar: its place, what is said of it, and the image that it opens, if any. A bar has a size."""

    x: float
    y: float
    text: str
    place: int | None = None
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """A line of a chart: its colour by number, its path, "" where it has none, and its marks."""

    name: str
    colour: int
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Drawing:
    """All that a template writes down of a chart."""

    chart: Chart
    left: float
    right: float
    top: float
    bottom: float
    across: tuple[Tick, ...]
    upright: tuple[Tick, ...]
    lines: tuple[Drawn, ...]
    diagonal: tuple[float, float, float, float] | None
    notes: tuple[str, ...]

    @property
    def opens(self) -> bool:
        """Whether points open images."""
        return any(mark.place is not None for line in self.lines for mark in line.marks)


def draw_chart(chart: Chart) -> Drawing:
    """Where everything of a chart stands. Of very many lines and points some are left out, and a note says so."""
    lines = tuple(_thinned(line) for line in chart.lines[:MOST_LINES])
    xs, ys = ([point[axis] for line in lines for point in line.points] for axis in (0, 1))
    bars, percent = chart.kind == "bars", chart.y_form.endswith("%")
    width = _bar_width(lines) if bars else 0.0
    x_range = (min(xs) - width / 2, max(xs) + width / 2) if bars and xs else _tight(xs, chart)
    y_range = shown_range(ys, with_zero=bars, share=percent and all(0 <= y <= 1 for y in ys))
    if chart.diagonal:
        both = [*x_range, *y_range]
        x_range = y_range = (min(both), max(both))
    x_axis = Axis(*x_range, _LEFT, WIDTH - _RIGHT)
    y_axis = Axis(*y_range, HEIGHT - _BOTTOM, _TOP)
    whole = all(x == int(x) for x in xs)
    drawn = tuple(_drawn(line, number, chart, (x_axis, y_axis), width) for number, line in enumerate(lines))
    return Drawing(
        chart,
        _LEFT,
        WIDTH - _RIGHT,
        _TOP,
        HEIGHT - _BOTTOM,
        _ticks(y_axis, ticks(*y_range), chart.y_form),
        _ticks(x_axis, ticks(*x_range, whole=whole), chart.x_form),
        drawn,
        _diagonal(x_axis, y_axis) if chart.diagonal else None,
        tuple(_notes(chart)),
    )


def _ticks(axis: Axis, values: Sequence[float], form: str) -> tuple[Tick, ...]:
    return tuple(Tick(axis.at(each), text) for each, text in zip(values, tick_labels(values, form), strict=True))


def _notes(chart: Chart) -> list[str]:
    """What stands below: the chart's own note, and what is left out."""
    notes = [chart.note] if chart.note else []
    if (many := len(chart.lines)) > MOST_LINES:
        notes.append(f"{MOST_LINES} of {many} lines are drawn.")
    if (most := max((len(line.points) for line in chart.lines), default=0)) > MOST_POINTS:
        notes.append(f"{MOST_POINTS:,} of {most:,} points are drawn, evenly chosen.")
    return notes


def _thinned(line: Line) -> Line:
    keep = spread(len(line.points), MOST_POINTS)
    if len(keep) == len(line.points):
        return line
    places = tuple(line.places[number] for number in keep) if line.places else ()
    return Line(line.name, tuple(line.points[number] for number in keep), places)


def _tight(xs: Sequence[float], chart: Chart) -> tuple[float, float]:
    """The range of the lower axis: of lines, without air at its ends."""
    if chart.kind == "lines" and xs and min(xs) < max(xs):
        return min(xs), max(xs)
    return shown_range(xs, with_zero=False)


def _bar_width(lines: Sequence[Line]) -> float:
    """How much of the lower axis one value takes: the smallest distance of two."""
    found = sorted({x for line in lines for x, _ in line.points})
    return min((after - before for before, after in pairwise(found)), default=1.0)


def _drawn(line: Line, number: int, chart: Chart, axes: tuple[Axis, Axis], width: float) -> Drawn:
    x_axis, y_axis = axes
    spots = [(x_axis.at(x), y_axis.at(y)) for x, y in line.points]
    if chart.kind == "bars":
        return Drawn(line.name, number, "", _bars(line, number, chart, axes, width))
    marked = chart.kind == "points" or len(spots) <= _MARKED
    marks = tuple(
        Mark(x, y, _said(line, chart, each), line.places[each] if line.places else None)
        for each, (x, y) in enumerate(spots)
    )
    path = "" if chart.kind == "points" or not spots else f"M{' '.join(f'{x:g},{y:g}' for x, y in spots)}"
    return Drawn(line.name, number, path, marks if marked else ())


def _bars(line: Line, number: int, chart: Chart, axes: tuple[Axis, Axis], width: float) -> tuple[Mark, ...]:
    """Bars from 0 to each value, beside those of the other lines."""
    x_axis, y_axis = axes
    slot = 0.86 * width / min(len(chart.lines), MOST_LINES)
    marks = []
    for each, (x, y) in enumerate(line.points):
        begins = x - 0.43 * width + number * slot
        left, right = x_axis.at(begins), x_axis.at(begins + slot)
        top, bottom = y_axis.at(max(y, 0.0)), y_axis.at(min(y, 0.0))
        place = line.places[each] if line.places else None
        size = (round(right - left, 1), round(bottom - top, 1))
        marks.append(Mark(left, top, _said(line, chart, each), place, *size))
    return tuple(marks)


def _said(line: Line, chart: Chart, number: int) -> str:
    x, y = line.points[number]
    named = f"{line.name}: " if line.name else ""
    return f"{named}{chart.x} {written(x, chart.x_form)}, {chart.y} {written(y, chart.y_form)}"


def _diagonal(x_axis: Axis, y_axis: Axis) -> tuple[float, float, float, float]:
    low, high = x_axis.low, x_axis.high
    return x_axis.at(low), y_axis.at(low), x_axis.at(high), y_axis.at(high)
