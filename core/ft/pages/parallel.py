"""Parallel coordinates as a drawing: where axes, ticks and lines stand, in the units of an SVG."""

from __future__ import annotations

from dataclasses import dataclass

from ft.extension.sections import Parallel, Strand
from ft.pages.charts import Tick
from ft.text.counting import number_of

MOST_STRANDS = 200
"""Lines of one drawing, the best ones: beyond that none can be followed."""
_LEFT, _RIGHT, _TOP, _HEIGHT, _BOTTOM = 96, 40, 34, 300, 12
_APART = 150
_LONGEST = 16


@dataclass(frozen=True)
class DrawnAxis:
    """An upright axis: where it stands, its title, shortened and whole, and its ticks."""

    x: float
    title: str
    whole: str
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class DrawnStrand:
    """A line: its path, what is said of it, how good it is, and whether it stands out."""

    path: str
    said: str
    good: float
    best: bool


@dataclass(frozen=True)
class DrawnParallel:
    """All that a template writes down of parallel coordinates."""

    title: str
    width: float
    height: float
    top: float
    bottom: float
    axes: tuple[DrawnAxis, ...]
    lines: tuple[DrawnStrand, ...]
    notes: tuple[str, ...]


def draw_parallel(part: Parallel) -> DrawnParallel:
    """Where everything stands; the best lines are drawn last, over the others."""
    xs = [_LEFT + _APART * number for number in range(len(part.axes))]
    bottom = _HEIGHT - _BOTTOM
    axes = tuple(
        DrawnAxis(
            x, _short(axis.title), axis.title, tuple(Tick(_at(place), _short(text)) for place, text in axis.ticks)
        )
        for x, axis in zip(xs, part.axes, strict=True)
    )
    ranked = sorted(part.strands, key=lambda each: (each.best, each.good))[-MOST_STRANDS:]
    lines = tuple(DrawnStrand(_path(each, xs), each.said, each.good, each.best) for each in ranked)
    left_out = len(part.strands) - len(lines)
    notes = [part.note] if part.note else []
    if left_out:
        notes.append(f"The best {len(lines)} are drawn, and {number_of(left_out, 'other')} left out.")
    width = _LEFT + _RIGHT + _APART * max(0, len(part.axes) - 1)
    return DrawnParallel(part.title, width, _HEIGHT, _TOP, bottom, axes, lines, tuple(notes))


def _at(place: float) -> float:
    return round(_HEIGHT - _BOTTOM - place * (_HEIGHT - _BOTTOM - _TOP), 1)


def _path(strand: Strand, xs: list[int]) -> str:
    """The line; where it meets no axis, it goes on at the next one that it meets."""
    spots = [(x, _at(place)) for x, place in zip(xs, strand.places, strict=True) if place is not None]
    return f"M{' '.join(f'{x:g},{y:g}' for x, y in spots)}" if spots else ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
