"""Which images a table names: a column of paths."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ft.errors import FtError
from ft.text.reading import MOST_TABLE, read_text

SUFFIXES = (".csv", ".tsv")
COLUMNS = ("path", "image", "file", "filename", "filepath", "imagepath", "imagefile", "imagename", "img", "imageid")
"""What the column of paths is called, in any case, and with anything between words; the first that is there."""
_DELIMITERS = ",;\t|"


def is_table(path: Path) -> bool:
    """Whether a file is a table, as its name says."""
    return path.suffix.lower() in SUFFIXES


def paths_in(table: Path) -> Iterator[str]:
    """The paths that a table names, as they can be opened from here: they are relative to its folder, as where it is
    trained on, or to this one, as what `ft predict --out` writes. Raises FtError where it has no column of paths."""
    try:
        text = read_text(table, MOST_TABLE).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise FtError(f"cannot read {table} as a UTF-8 table: {error}; spreadsheets save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise FtError(f"cannot read {table}: {error.strerror or error}") from error
    delimiter, column = _column(table, text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    next(rows)
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _there(table.parent, row[column] if column < len(row) else "")
    except csv.Error as error:
        raise FtError(f"cannot read {table}, line {rows.line_num}, as a table: {error}") from error


def _column(table: Path, text: str) -> tuple[str, int]:
    """What stands between columns, and which of them holds paths."""
    found = []
    for delimiter in _DELIMITERS:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        names = [re.sub(r"[\W_]", "", cell).lower() for cell in header]
        found += [(COLUMNS.index(name), delimiter, place) for place, name in enumerate(names) if name in COLUMNS]
    if not found:
        first = text.partition("\n")[0].strip()[:200]
        raise FtError(f"{table} has no column called path, image, file or filename; it begins with: {first}")
    _, delimiter, column = min(found)
    return delimiter, column


def _there(folder: Path, text: str) -> str:
    """A path as it leads to a file, if it does; one of ft's own tables may spell out bytes that are no UTF-8."""
    spelt = os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode()))
    ways = [os.path.join(folder, text), text, os.path.join(folder, spelt), spelt]
    return next((each for each in ways if os.path.exists(each)), text)
