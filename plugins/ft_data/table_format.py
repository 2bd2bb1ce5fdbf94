"""From the bytes of a table to its rows: which encoding, and what stands between columns, is found out."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ft import FtError, nearest, read_bytes

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_LOOKED_AT = 50
"""Rows by which the delimiter is judged."""

Row = tuple[int, list[str]]
"""The number of a row's last line in the file, and its cells."""


@dataclass(frozen=True)
class Table:
    """A table as text. `read_as` says how it was read, where that is not UTF-8 with commas."""

    header: Sequence[str]
    rows: Sequence[Row]
    read_as: Sequence[str]


def read_table(path: Path, delimiter: str | None) -> Table:
    """Return the table in a file: its first row, and the others that are not blank. Raises FtError."""
    text, encoding = _decoded(path)
    first, _, rest = text.partition("\n")
    if first.strip().lower()[:4] == "sep=" and len(first.strip()) == 5:  # Excel's way to say it
        text, delimiter = "\n" + rest, delimiter or first.strip()[4]
    found = delimiter or find_delimiter(text, preferred="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header, *rows = [*_rows(text, found)] or [(0, [])]
    except csv.Error as error:
        raise FtError(f"cannot read {path} as a table: {error}") from error
    said = [encoding] if encoding else []
    if delimiter is None and found != ",":
        said.append(f"{DELIMITERS[found]} between columns")
    return Table([cell.strip() for cell in header[1]], rows, said)


def find_delimiter(text: str, preferred: str = ",") -> str:
    """Return what stands between the columns of a table: what gives its first rows equally many cells, two or more, or
    else its header most."""

    def fitness(delimiter: str) -> tuple[bool, int, bool]:
        counts: list[int] = []
        with suppress(csv.Error):  # which whoever reads all rows will raise
            counts.extend(len(row) for _, row in islice(_rows(text, delimiter), _LOOKED_AT))
        columns = counts[0] if counts else 0
        return columns > 1 and set(counts) == {columns}, columns, delimiter == preferred

    return max(DELIMITERS, key=fitness)


def _rows(text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file, and its encoding where that is not UTF-8."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        near = nearest(path.name, beside, most=1)
        raise FtError(f"there is no file {path}{f'; did you mean {near[0]!r}?' if near else ''}") from None
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error
    marked = [(encoding, name) for mark, encoding, name in _MARKS if content.startswith(mark)]
    encoding, name = marked[0] if marked else ("utf-8", "")
    try:
        return content.decode(encoding), name
    except UnicodeDecodeError as error:
        hint = "" if name else "; save it as UTF-8, which spreadsheets call 'CSV UTF-8'"
        raise FtError(f"cannot read {path} as a {name or 'UTF-8'} table: {error}{hint}") from error
