"""Tables and confusion matrices, laid out: which rows stand where, what is left out, and what a cell opens."""

from __future__ import annotations

from dataclasses import dataclass

from ft.extension.sections import Matrix
from ft.extension.tasks import Table
from ft.pages.wanted import MOST_IN_A_CELL

MOST_ROWS = 200
"""Rows of a table; of more, those that cost most."""
MOST_NAMES = 16
"""A matrix of more names than this is read by nobody as a square; the pairs that were confused most often are."""
MOST_PAIRS = 40


@dataclass(frozen=True)
class Cell:
    """What stands in a cell; a number, by which rows can be sorted, or None for a text."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Grid:
    """A table as it is written down. `left_out` counts rows that are not."""

    headers: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int


@dataclass(frozen=True)
class Pair:
    """A cell of a matrix: how many images there are, the share of its row, the numbers of some, and a title."""

    count: int
    share: float
    places: tuple[int, ...]
    title: str
    right: bool


@dataclass(frozen=True)
class Square:
    """A matrix as it is written down: a square with a row for each name, or of many names the pairs that were confused
    most often, as (name, name, pair). `left_out` counts pairs that are not there."""

    matrix: Matrix
    rows: tuple[tuple[str, tuple[Pair, ...]], ...]
    pairs: tuple[tuple[str, str, Pair], ...]
    left_out: int


def lay_out(table: Table) -> Grid:
    """The rows of a table, those that cost most first where it says so."""
    order = list(range(len(table.rows)))
    if table.costs:
        order.sort(key=lambda number: -table.costs[number])
    shown = [table.rows[number] for number in order[:MOST_ROWS]]
    numeric = tuple(all(not isinstance(row[name], str) for row in table.rows) for name in table.columns)
    rows = tuple(tuple(_cell(row[name], form) for name, (_, form) in table.columns.items()) for row in shown)
    return Grid(tuple(title for title, _ in table.columns.values()), numeric, rows, len(table.rows) - len(shown))


def _cell(value: str | float, form: str) -> Cell:
    return Cell(value) if isinstance(value, str) else Cell(format(value, form), float(value))


def square(matrix: Matrix) -> Square:
    """What of a matrix is written down."""
    names = range(len(matrix.names))
    if len(matrix.names) <= MOST_NAMES:
        rows = tuple((matrix.names[row], tuple(_pair(matrix, (row, column)) for column in names)) for row in names)
        return Square(matrix, rows, (), 0)
    wrong = sorted((at for at in matrix.cells if at[0] != at[1]), key=lambda at: (-len(matrix.cells[at]), at))
    shown = wrong[:MOST_PAIRS]
    pairs = tuple((matrix.names[row], matrix.names[column], _pair(matrix, (row, column))) for row, column in shown)
    return Square(matrix, (), pairs, len(wrong) - len(shown))


def _pair(matrix: Matrix, at: tuple[int, int]) -> Pair:
    places = matrix.cells.get(at, ())
    total = sum(len(found) for (row, _), found in matrix.cells.items() if row == at[0])
    row, column = matrix.names[at[0]], matrix.names[at[1]]
    title = f"{matrix.of} {row}, {matrix.taken} {column}"
    return Pair(len(places), len(places) / max(1, total), places[:MOST_IN_A_CELL], title, at[0] == at[1])
