"""Which images a page embeds: of all that its sections name, the most telling first, and no more than fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TypeVar

from ft.extension.sections import Chart, Matrix, Part, Pictures, Section
from ft.pages.parts import parts_in

T = TypeVar("T")
MOST_PHOTOS = 400
"""Photos of one page: at 5 KB each, 2.7 MB as they are written there."""
MOST_MAPS = 24
"""Maps of one page; the network runs for each."""
MOST_SHOTS = 24
"""Images of one row of pictures."""
MOST_IN_A_CELL = 12
"""Images of one cell of a matrix."""
MOST_POINTS = 2000
"""Points of one line of a chart that are drawn."""
MOST_OF_A_CHART = 60
"""Images that the points of one chart open."""


@dataclass(frozen=True)
class Wanted:
    """Numbers of images, the most telling first; and of which outputs of which images there are to be maps."""

    places: tuple[int, ...]
    maps: tuple[tuple[int, int], ...]


def wanted(sections: Sequence[Section]) -> Wanted:
    """What to embed: rows of pictures first, then in turn points of charts and images behind the cells of matrices,
    mistakes before what is right, and a few of each cell before more of one. Maps are of each row in turn."""
    parts = [part for section in sections for part in parts_in(section.parts)]
    rows = [part.shots[:MOST_SHOTS] for part in parts if isinstance(part, Pictures)]
    shots = [shot for row in rows for shot in row]
    points = chain.from_iterable(_of_chart(part) for part in parts if isinstance(part, Chart))
    cells = _in_turn([cell for part in parts for cell in _of_matrix(part)])
    places = chain(
        (place for shot in shots for place in (shot.place, shot.beside) if place is not None),
        _in_turn([points, cells]),
    )
    maps = _in_turn([[(shot.place, shot.of) for shot in row if shot.of is not None] for row in rows])
    return Wanted(tuple(_first(places, MOST_PHOTOS)), tuple(_first(maps, MOST_MAPS)))


def opened_by_charts(sections: Sequence[Section]) -> set[int]:
    """The images that points open, as far as they are drawn."""
    parts = (part for section in sections for part in parts_in(section.parts) if isinstance(part, Chart))
    lines = (line for part in parts for line in part.lines)
    return {line.places[number] for line in lines for number in spread(len(line.places), MOST_POINTS)}


def spread(many: int, most: int) -> list[int]:
    """So many numbers of 0 to many - 1 at most, evenly apart, the first and the last among them.

    >>> spread(3, 5), spread(10, 4)
    ([0, 1, 2], [0, 3, 6, 9])
    """
    if many <= most:
        return list(range(many))
    return [round(number * (many - 1) / (most - 1)) for number in range(most)]


def _of_chart(chart: Chart) -> Iterator[int]:
    for line in chart.lines:
        yield from (line.places[number] for number in spread(len(line.places), MOST_OF_A_CHART))


def _of_matrix(part: Part) -> list[tuple[int, ...]]:
    """The images of each cell; those of what was wrong before those of what was right."""
    if not isinstance(part, Matrix):
        return []
    order = sorted(part.cells, key=lambda at: (at[0] == at[1], -len(part.cells[at]), at))
    return [part.cells[at][:MOST_IN_A_CELL] for at in order]


def _in_turn(some: Iterable[Iterable[T]]) -> Iterator[T]:
    """The first of each, then the second of each, until all are through."""
    rounds: Iterable[tuple[T | None, ...]] = zip_longest(*some)
    return (each for found in rounds for each in found if each is not None)


def _first(found: Iterable[T], most: int) -> Iterator[T]:
    return islice(dict.fromkeys(found), most)
