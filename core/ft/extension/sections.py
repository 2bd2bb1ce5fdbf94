"""The records that say what a page shows of a run: headings, figures, charts and pictures, as plain data.

A task hands them to ft for each split, and so does ft to itself; `ft.pages` draws them. Texts are texts, never markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ft.extension.tasks import Table


@dataclass(frozen=True)
class Shot:
    """An image of the split, by its row there, with what is to be said of it.

    With `of`, the number of an output, a map of where in the image that output comes from is drawn beside it. `marked`
    is a word that stands on the picture, as "wrong". `beside` is the row of another image, which is shown beside it, as
    one that shows the same.
    """

    place: int
    caption: str
    of: int | None = None
    marked: str = ""
    beside: int | None = None


@dataclass(frozen=True)
class Note:
    """A paragraph. One that `warns` stands out."""

    text: str
    warns: bool = False


@dataclass(frozen=True)
class Pictures:
    """Images side by side. The page says so where it shows fewer of them, the first ones."""

    title: str
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Line:
    """What a chart shows under one name: points (x, y), each a finite number. `places` has for each point the row of
    the image that it stands for, which it then opens, or nothing at all."""

    name: str
    points: tuple[tuple[float, float], ...]
    places: tuple[int, ...] = ()


@dataclass(frozen=True)
class Chart:
    """Lines, bars or points over two axes, whose titles are `x` and `y`.

    `x_form` and `y_form` say how numbers are written at the axes, as for Python's format. With a `diagonal`, a line
    shows where y equals x, and both axes have the same range. A `note` stands below.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    kind: Literal["lines", "bars", "points"] = "lines"
    diagonal: bool = False
    note: str = ""
    x_form: str = "g"
    y_form: str = "g"


@dataclass(frozen=True)
class Matrix:
    """What images were, by row, and what they were taken for, by column: a square of the `names`.

    `cells` are, for each pair of numbers (row, column) that occurs, the rows of its images in the split: all of them.
    The page counts all, and embeds the pictures of some. `of` and `taken` are what rows and columns are called.
    """

    names: tuple[str, ...]
    cells: Mapping[tuple[int, int], tuple[int, ...]] = field(hash=False)
    of: str = "images of"
    taken: str = "taken for"


@dataclass(frozen=True)
class Choice:
    """Parts of which those of one name are shown, chosen from a list: a class, say. The first is shown first."""

    label: str
    parts: Mapping[str, tuple[Part, ...]] = field(hash=False)


@dataclass(frozen=True)
class Slider:
    """Numbers of which one row is shown at a time, chosen by a slider: a threshold, say.

    Each of the `values`, ascending, has a row of numbers, one for each of the `columns`, which are titles and how their
    numbers are written, as for Python's format. The slider stands at `start`, the number of a value, first.
    """

    label: str
    values: tuple[float, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[float, ...], ...]
    start: int = 0
    form: str = ".2f"


@dataclass(frozen=True)
class Facts:
    """Terms, and what is to be said of each."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Lines that are typed, with a button that copies them. `label` says what they do."""

    label: str
    text: str


@dataclass(frozen=True)
class Layer:
    """A stage of a network: its scalar parameters, and which share of them is frozen, 0 to 1."""

    name: str
    parameters: int
    frozen: float
    note: str = ""


@dataclass(frozen=True)
class Layers:
    """The stages of a network from input to output. What lies before number `cut` was computed once."""

    stages: tuple[Layer, ...]
    cut: int = 0
    note: str = ""


@dataclass(frozen=True)
class Shares:
    """Names, each with a share of a whole, 0 to 1, as bars below each other."""

    title: str
    rows: tuple[tuple[str, float], ...]
    note: str = ""


@dataclass(frozen=True)
class Upright:
    """An upright axis of several that stand side by side: what it shows, and its ticks, each with its place from 0 at
    the bottom to 1, and its text."""

    title: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Strand:
    """A line through upright axes: where it meets each, 0 to 1, and None where it does not; what is said of it, and how
    good it is, 0 to 1, which is its colour. Those that are `best` stand out."""

    said: str
    places: tuple[float | None, ...]
    good: float
    best: bool = False


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: things that have several properties each, as lines through an axis for each property."""

    title: str
    axes: tuple[Upright, ...]
    strands: tuple[Strand, ...]
    note: str = ""


Part = Note | Pictures | Chart | Matrix | Table | Choice | Slider | Facts | Code | Layers | Shares | Parallel
"""What a section is made of."""


@dataclass(frozen=True)
class Section:
    """A heading, one plain sentence that says what is to be seen, and what shows it."""

    title: str
    parts: tuple[Part, ...]
    lead: str = ""
