"""What sections are made of, looked at: whether it can be drawn, and the same of images that are numbered otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ft.extension.sections import (
    Chart,
    Choice,
    Code,
    Facts,
    Layers,
    Line,
    Matrix,
    Note,
    Parallel,
    Part,
    Pictures,
    Section,
    Shares,
    Shot,
    Slider,
)
from ft.extension.tasks import Table


def parts_in(parts: Sequence[Part]) -> Iterator[Part]:
    """Every part, those of which one is chosen too."""
    for part in parts:
        yield part
        if isinstance(part, Choice):
            for some in part.parts.values():
                yield from parts_in(some)


def renumbered(section: Section, numbers: Sequence[int]) -> Section:
    """The section with images numbered otherwise: the row of each in its split becomes the number at that place, as
    that in a list of the images of all splits."""
    return replace(section, parts=tuple(_renumbered(part, numbers) for part in section.parts))


def _renumbered(part: Part, numbers: Sequence[int]) -> Part:
    match part:
        case Pictures(title, shots):
            return Pictures(title, tuple(_shot_renumbered(shot, numbers) for shot in shots))
        case Chart():
            return replace(part, lines=tuple(_line_renumbered(line, numbers) for line in part.lines))
        case Matrix():
            cells = {at: tuple(numbers[place] for place in of) for at, of in part.cells.items()}
            return replace(part, cells=cells)
        case Choice(label, parts):
            chosen = {name: tuple(_renumbered(each, numbers) for each in some) for name, some in parts.items()}
            return Choice(label, chosen)
        case _:
            return part


def _shot_renumbered(shot: Shot, numbers: Sequence[int]) -> Shot:
    beside = None if shot.beside is None else numbers[shot.beside]
    return replace(shot, place=numbers[shot.place], beside=beside)


def _line_renumbered(line: Line, numbers: Sequence[int]) -> Line:
    return replace(line, places=tuple(numbers[place] for place in line.places))


def faults_of(section: Section, images: int, outputs: int) -> Iterator[str]:
    """Yield what is wrong with a section of a split of so many images, by a network of so many outputs, and cannot be
    drawn as it is meant; nothing where all is well."""
    if not section.title:
        yield "has a section without a title"
    for part in parts_in(section.parts):
        yield from (f"has in '{section.title}' {fault}" for fault in _faults(part, images, outputs))


def _faults(part: Part, images: int, outputs: int) -> Iterator[str]:
    match part:
        case Note(text) if not text:
            yield "a note without a text"
        case Pictures(_, shots):
            yield from _shots_faults(shots, images, outputs)
        case Chart():
            for line in part.lines:
                yield from _line_faults(line, images)
        case Matrix(names, cells):
            if any(not (0 <= row < len(names) and 0 <= column < len(names)) for row, column in cells):
                yield f"a matrix with a cell outside its {len(names)} names"
            yield from _places_faults([place for places in cells.values() for place in places], images)
        case Slider():
            yield from _slider_faults(part)
        case Table(name, columns, rows):
            yield from (f"a table '{name}' with a row of other columns" for row in rows[:1] if [*row] != [*columns])
        case Choice(label, parts) if not parts:
            yield f"nothing to choose from as '{label}'"
        case _:
            if type(part) not in KINDS:
                yield f"{part!r:.80}, which is none of {', '.join(kind.__name__ for kind in KINDS)}"


KINDS = (Note, Pictures, Chart, Matrix, Table, Choice, Slider, Facts, Code, Layers, Shares, Parallel)


def _shots_faults(shots: Sequence[Shot], images: int, outputs: int) -> Iterator[str]:
    places = [shot.place for shot in shots] + [shot.beside for shot in shots if shot.beside is not None]
    yield from _places_faults(places, images)
    strange = [shot.of for shot in shots if shot.of is not None and not 0 <= shot.of < outputs]
    if strange:
        yield f"a picture of output {strange[0]}, and there are {outputs}"


def _line_faults(line: Line, images: int) -> Iterator[str]:
    if not all(math.isfinite(number) for point in line.points for number in point):
        yield f"a line '{line.name}' with a point that is no number"
    if line.places and len(line.places) != len(line.points):
        yield f"a line '{line.name}' with {len(line.points)} points and {len(line.places)} places"
    yield from _places_faults(line.places, images)


def _slider_faults(slider: Slider) -> Iterator[str]:
    if not slider.values or len(slider.rows) != len(slider.values):
        yield f"a slider of {len(slider.values)} values and {len(slider.rows)} rows"
    elif not 0 <= slider.start < len(slider.values):
        yield f"a slider that starts at value {slider.start} of {len(slider.values)}"
    if any(len(row) != len(slider.columns) for row in slider.rows):
        yield f"a slider with a row of other than {len(slider.columns)} numbers"


def _places_faults(places: Sequence[int], images: int) -> Iterator[str]:
    strange = [place for place in places if not 0 <= place < images]
    if strange:
        yield f"image {strange[0]}, and the rows of the split are 0 to {images - 1}"
