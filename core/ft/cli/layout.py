"""Tables and aligned lines, and numbers as people say them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.segment import Segment, Segments
from rich.table import Table

LEAST = 24
"""Cells to which a column is shortened at most."""


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    prose: str = "",
    cut: str = "",
    spare: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a plain table, on stdout unless `console` says otherwise.

    Columns in `right` are set to the right, as numbers are. Where the terminal is too narrow, columns in `spare` are
    left out one by one, then the column `prose` is folded between words, or the column `cut` shortened. Any other table
    keeps its width, so that paths and URLs stay whole.
    """
    console = console or Console()
    for name in spare:
        if _width(headers, rows, cut) > console.width:
            keep = [number for number, header in enumerate(headers) if header != name]
            headers, rows = [headers[n] for n in keep], [[row[n] for n in keep] for row in rows]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=bool(cut))
    for header in headers:
        if header == cut:
            made.add_column(header, overflow="ellipsis", no_wrap=True, ratio=1)
        else:
            made.add_column(header, justify="right" if header in right else "left", no_wrap=header != prose)
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    width = console.width if prose or cut else max(console.width, _width(headers, rows))
    for line in console.render_lines(made, console.options.update(width=width), pad=False):
        console.print(Segments([*_stripped(line), Segment.line()]), soft_wrap=True)


def _stripped(line: list[Segment]) -> list[Segment]:
    """`line` without the space at its end, which a narrow terminal would wrap into lines of nothing."""
    while line and not line[-1].text.rstrip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []


def _width(headers: Sequence[str], rows: Sequence[Sequence[Any]], cut: str = "") -> int:
    """The cells that a table needs when nothing is folded, and the column `cut` has its least."""
    columns = zip(headers, *rows, strict=True)
    widths = [
        LEAST if header == cut else max(cell_len(str(cell)) for cell in (header, *cells)) for header, *cells in columns
    ]
    return sum(widths) + 3 * len(widths) - 1


def print_pairs(pairs: Iterable[tuple[str, Any]], console: Console) -> None:
    """`name  text` lines, the names aligned."""
    for name, text in pairs:
        console.print(f"[bold]{name:<11}[/bold] {escape(str(text))}", highlight=False, soft_wrap=True)


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


def size(number: int | None) -> str:
    """Bytes as people say them: 44.7 MB, 2.0 KB."""
    if number is None:
        return "?"
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{number} B"


def flops(number: int) -> str:
    """Floating-point operations as people say them: 1.82 GFLOPs."""
    for limit, unit in ((10**12, "TFLOPs"), (10**9, "GFLOPs"), (10**6, "MFLOPs")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number} FLOPs"
