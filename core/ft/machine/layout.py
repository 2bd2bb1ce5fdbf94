"""Tables and aligned lines, and numbers as people say them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from ft.text.terminal import plainer, told, visible

LEAST, LEAST_NAME = 24, 12
"""Cells to which a column of descriptions, and one of names, is shortened at most."""
RULED = box.Box("\n".join(("    ", "    ", " ── ", *["    "] * 5)) + "\n")
RULED_IN_ASCII = box.Box("\n".join(("    ", "    ", " -- ", *["    "] * 5)) + "\n", ascii=True)


@dataclass(frozen=True)
class Grid:
    """What a table says: text that may be printed. `gap` is the space between two columns, and the headers in `folded`
    may stand on several lines."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    gap: int = 3
    folded: Collection[str] = ()

    def widths(self) -> list[int]:
        """The cells that each column needs when no cell is folded."""
        return [
            max([self.needed_by(header), *map(cell_len, cells)])
            for header, *cells in zip(self.headers, *self.rows, strict=True)
        ]

    def needed_by(self, header: str) -> int:
        """The cells that a header needs."""
        return max(map(cell_len, header.split(" "))) if header in self.folded else cell_len(header)

    def width(self) -> int:
        """The cells that all of it needs, with a space on both sides."""
        return sum(self.widths()) + self.gap * (len(self.headers) - 1) + 2

    def without(self, header: str) -> Grid:
        """This without a column."""
        keep = [number for number, each in enumerate(self.headers) if each != header]
        rows = tuple(tuple(row[n] for n in keep) for row in self.rows)
        return replace(self, headers=tuple(self.headers[n] for n in keep), rows=rows)

    def shortened(self, header: str, room: int, least: int, end: bool = False) -> Grid:
        """This with a column's cells, but for the header, so short that it fits into `room`, or of `least` cells:
        without their `end`, or without their middle."""
        if header not in self.headers or self.width() <= room:
            return self
        place = self.headers.index(header)
        most = max(least, self.needed_by(header), self.widths()[place] - (self.width() - room))
        rows = tuple((*row[:place], fitted(row[place], most, end), *row[place + 1 :]) for row in self.rows)
        return replace(self, rows=rows)

    def squeezed(self, headers: Collection[str], room: int, least: int) -> Grid:
        """This with the cells of these columns, the widest first, without so much of their middle that it fits into
        `room`, or of `least` cells."""
        widths = [width for header, width in zip(self.headers, self.widths(), strict=True) if header in headers]
        over, each = self.width() - room, max(widths, default=0)
        while each > least and sum(max(0, width - each) for width in widths) < over:
            each -= 1
        made = self
        for header in headers:
            made = made.shortened(header, room, max(each, least))
        return made


def grid(headers: Sequence[str], rows: Sequence[Sequence[Any]], ascii_only: bool = False) -> Grid:
    """A table of anything, as text that may be printed."""

    def printable(cell: Any) -> str:
        text = visible(str(cell))
        return plainer(text) if ascii_only else text

    return Grid(tuple(map(printable, headers)), tuple(tuple(map(printable, row)) for row in rows))


@dataclass(frozen=True)
class Columns:
    """How some columns of a table are printed, by their headers.

    Those in `right` are set to the right, as numbers are. Where a terminal is too narrow, the headers of those are
    folded between words, those in `spare` are left out one by one, then the column `prose` is folded between words,
    `cut` loses its end, and those in `squeeze` lose their middle, the widest first. Any other table keeps its width, so
    that paths and URLs stay whole.
    """

    right: Sequence[str] = ()
    prose: str = ""
    cut: str = ""
    squeeze: tuple[str, ...] = ()
    spare: Sequence[str] = ()


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    columns: Columns | None = None,
    console: Console | None = None,
) -> None:
    """Print a plain table and an empty line, on stdout unless `console` says otherwise. Where that is no terminal, each
    row is a line."""
    console, columns = console or Console(), columns or Columns()
    made = grid(headers, rows, console.options.ascii_only)
    if console.is_terminal:
        made = _into(made, console.width, columns)
    _print_grid(made, columns.right, console, columns.prose if console.is_terminal else "")


def print_matrix(names: Sequence[str], counts: Sequence[Sequence[int]], console: Console) -> None:
    """Print a confusion matrix: a row for the images of each class, a column for each that they were taken for.

    Where a terminal is too narrow for the names, columns have the numbers of the rows, and those that do not fit follow
    below.
    """
    names = [plainer(visible(name)) if console.options.ascii_only else name for name in names]
    for made in matrix(names, counts, console.width if console.is_terminal else None):
        _print_grid(made, made.headers[1:], console)


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]], room: int | None) -> Iterator[Grid]:
    """The tables that `print_matrix` prints, none wider than `room`."""
    whole = grid(("images of \\ taken for", *names), [(name, *row) for name, row in zip(names, counts, strict=True)])
    if room is None or whole.width() <= room:
        yield whole
        return
    digits = len(str(len(names)))
    numbered = [(f"{n:>{digits}} {name}", *row) for n, (name, *row) in enumerate(whole.rows, 1)]
    each = max(len(cell) for row in whole.rows for cell in (*row[1:], str(len(names)))) + 2
    corner = "of \\ taken for"
    least = max(cell_len(corner), min(LEAST_NAME + digits + 1, max(cell_len(row[0]) for row in numbered)))
    fitting = max(1, (room - 2 - least) // each)
    blocks = -(-len(names) // fitting)
    step = -(-len(names) // blocks)
    for start in range(1, len(names) + 1, step):
        columns = range(start, min(start + step, len(names) + 1))
        rows = tuple((row[0], *(row[n] for n in columns)) for row in numbered)
        made = Grid((corner, *map(str, columns)), rows, gap=2)
        yield made.shortened(corner, room, LEAST_NAME)


def fitted(text: str, cells: int, end: bool = True) -> str:
    """Return a text of at most `cells` cells of a terminal, without its end, or without its middle.

    >>> fitted("a long description", 10), fitted("a long description", 10, end=False)
    ('a long de…', 'a lo…ption')
    """
    if cell_len(text) <= cells:
        return text
    tail = 0 if end else cells // 2
    return f"{set_cell_size(text, cells - 1 - tail).rstrip()}…{_last(text, tail)}"


def _last(text: str, cells: int) -> str:
    return set_cell_size(text[::-1], cells)[::-1] if cells else ""


def _into(made: Grid, room: int, columns: Columns) -> Grid:
    if made.width() > room:
        made = replace(made, folded=columns.right)
    for name in columns.spare:
        if made.width() - _given_up(made, columns.cut or columns.prose) > room:
            made = made.without(name)
    folded = room + _given_up(made, columns.prose)
    return made.shortened(columns.cut, room, LEAST, end=True).squeezed(columns.squeeze, folded, LEAST_NAME)


def _given_up(made: Grid, header: str) -> int:
    """The cells that a column of descriptions, if there is one, can do without."""
    return max(0, made.widths()[made.headers.index(header)] - LEAST) if header else 0


def _print_grid(made: Grid, right: Sequence[str], console: Console, prose: str = "") -> None:
    lines = RULED_IN_ASCII if console.options.ascii_only else RULED
    table = Table(box=lines, pad_edge=False, padding=(0, made.gap - 1, 0, 0))
    for header, cells in zip(made.headers, made.widths(), strict=True):
        title = "\n".join(words_in(header, cells)) if header in made.folded else header
        table.add_column(Text(title), justify="right" if header in right else "left", no_wrap=header != prose)
    for row in made.rows:
        table.add_row(*map(Text, row))
    width = made.width()
    if prose and width > console.width:
        width = max(console.width, made.shortened(prose, console.width, LEAST_NAME).width())
    _, *below = console.render_lines(table, console.options.update(width=width), pad=False)
    for line in below:  # without the box's upper edge, which is a line of spaces
        console.print(Segments([*_stripped(line), Segment.line()]), soft_wrap=True)


def _stripped(line: list[Segment]) -> list[Segment]:
    """`line` without the space at its end, which a narrow terminal would wrap into lines of nothing."""
    while line and not line[-1].text.rstrip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []


def print_pairs(pairs: Iterable[tuple[str, Any]], console: Console, folded: bool = False) -> None:
    """`name  text` lines, the names aligned; where they are `folded`, a terminal gets long ones on several lines, below
    each other, folded between words."""
    for name, text in pairs:
        said = told(str(text))
        if folded and console.is_terminal:
            lines = [each for line in said.split("\n") for each in words_in(line, console.width - 12)]
            said = f"\n{' ' * 12}".join(lines)
        console.print(Text.assemble((f"{visible(name):<11}", "bold"), " ", said), soft_wrap=True)


def words_in(text: str, cells: int) -> list[str]:
    """A text in lines of at most so many cells; a longer word stays whole, as paths do.

    >>> words_in("to be or not", 5)
    ['to be', 'or', 'not']
    """
    first, *others = text.split(" ")
    lines = [first]
    for word in others:
        if cell_len(lines[-1]) + 1 + cell_len(word) <= cells:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def count(number: int) -> str:
    """A number of parameters as people say it: 11.2 M.

    >>> count(11_177_538), count(1026), count(42)
    ('11.2 M', '1.0 K', '42')
    """
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "K")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return str(number)


def times(factor: float) -> str:
    """A factor as people say it; beyond a hundred, other work than the network's decides."""
    return "more than 100 times" if factor > 100 else f"{factor:.1f} times"


def rate(number: float) -> str:
    """How many a second as people say it: three digits, and no powers of ten.

    >>> rate(52_123.4), rate(118.6), rate(6.31), rate(0.0123)
    ('52,100', '119', '6.31', '0.0123')
    """
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.3g}"


def size(number: int | None) -> str:
    """Bytes as people say them: 44.7 MB, 2.0 KB."""
    if number is None:
        return "?"
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number} B"


def flops(number: int) -> str:
    """Floating-point operations, of which a multiply-add is two, as people say them: 3.64 GFLOPs."""
    for limit, unit in ((10**12, "TFLOPs"), (10**9, "GFLOPs"), (10**6, "MFLOPs")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number} FLOPs"
