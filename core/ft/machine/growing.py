"""Files of rows that grow beside their place, and can be gone on with wherever they were left.

While `answers.csv` is written, its rows are in `answers.csv.part`, and `answers.csv.part.jsonl` says, a line for each,
what it is of, how long it is, and its checksum. A row counts once its line is whole, so what a killed writer tore is
known, whatever rows look like. With the last row, the one file gets its name and the other goes.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ft.errors import FtError
from ft.machine.files import explained, put_in_place
from ft.machine.signals import StopAsked, held_back
from ft.text.counting import number_of

try:
    from fcntl import LOCK_EX, LOCK_NB, lockf
except ImportError:  # Windows, where an open file cannot be given another's name, either
    lockf = None  # type: ignore[assignment]

FORMAT = 1
_LONGEST = 1_000_000
"""Bytes of a line that says what a row is of."""


@dataclass(frozen=True)
class Row:
    """A row as it stands in the file, the key of what it is of, and what is noted of it, "" for nothing."""

    key: str
    content: bytes
    note: str = ""


@dataclass(frozen=True)
class Growth:
    """How a file grows. `of` is what all its rows are of, by names that people know, or None where nobody can go on
    with it; `head` stands before them; `finish` makes of the rows at the first path the file at the second."""

    of: Mapping[str, Any] | None
    head: bytes = b""
    finish: Callable[[Path, Path], object] = put_in_place


@dataclass(frozen=True)
class Going:
    """With what a file is gone on: the `keys` of all that is asked for, in the order of rows, and which of so many rows
    are `kept`, the first."""

    keys: Iterable[str]
    kept: Callable[[int], int] = lambda done: done


class Growing:
    """A file that grows: so many rows are `done`, of which so many were `before`, with these `notes`."""

    def __init__(self, part: Path, rows: BinaryIO, lines: BinaryIO, found: Found) -> None:
        self.part, self.done, self.before, self.notes = part, found.rows, found.rows, found.notes
        self._rows, self._lines, self._size = rows, lines, found.size

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows; all of them are whole, or none, however this process ends. Raises CannotWrite."""
        lines = [json.dumps([row.key, len(row.content), zlib.crc32(row.content), row.note]) + "\n" for row in rows]
        content = b"".join(row.content for row in rows)
        with held_back(), explained(self.part):
            self._rows.write(content)
            self._rows.flush()
            self._lines.write("".join(lines).encode())
            self._lines.flush()
            self._size += len(content)
            self.done += len(rows)

    def leave(self) -> None:
        """Leave whole rows alone: a disk that is full took a piece of one."""
        with suppress(OSError):
            os.truncate(self._rows.fileno(), self._size)


@dataclass(frozen=True)
class Found:
    """What is there of a file already: rows, the bytes of these and of the lines about them, and what is noted."""

    rows: int = 0
    size: int = 0
    lines: int = 0
    notes: Sequence[str] = ()


def part_of(path: Path) -> Path:
    """Where the rows of a file are until it is whole."""
    return path.with_name(f"{path.name}.part")


def lines_of(path: Path) -> Path:
    """Where it says what these are of."""
    return path.with_name(f"{path.name}.part.jsonl")


@contextmanager
def growing(path: Path, growth: Growth, going: Going | None = None) -> Iterator[Growing]:
    """Give the block a file that grows, and that is at `path`, whole, when the block ends; until then what was there
    before stays. With an exception its rows stay where they are, and what it says tells so.

    `going` says with what to go on; where nothing is there, it begins. Raises FtError where rows of something else are
    there or another process writes them, and without `going` where some are there that could be gone on with.
    """
    part, lines = part_of(path), lines_of(path)
    with ExitStack() as stack:
        with explained(lines):
            path.parent.mkdir(parents=True, exist_ok=True)
            said = stack.enter_context(_opened(lines))
        _lock(said, path)
        with explained(part):
            rows = stack.enter_context(_opened(part))
        try:
            file = Growing(part, rows, said, _found(path, rows, said, growth, going))
        except FtError:
            if not os.path.getsize(part) and not os.path.getsize(lines):
                _forget(part, lines)
            raise
        try:
            yield file
            with explained(part):
                rows.flush()
                os.fsync(rows.fileno())
        except BaseException as error:
            file.leave()
            if not file.done or growth.of is None:
                _forget(part, lines)
            else:
                _tell(error, file)
            raise
        with held_back():
            growth.finish(part, path)
            _forget(part, lines)


def _opened(path: Path) -> BinaryIO:
    """A file that may be there, to read and write."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666), "r+b")


def _lock(file: BinaryIO, path: Path) -> None:
    """Raise FtError where another process holds the file; this one holds it until it ends, and no child of it does."""
    if lockf is None:
        return
    try:
        lockf(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise FtError(f"another process is writing {path}; wait for it, or name another file") from None
    except OSError:  # a file system without locks
        return


def _found(path: Path, rows: BinaryIO, lines: BinaryIO, growth: Growth, going: Going | None) -> Found:
    """What is there to go on with; both files are ready for the next row. Raises FtError for what is to be kept."""
    part = part_of(path)
    of = _of(lines)
    if of is None and os.path.getsize(part):
        if not os.path.getsize(lines_of(path)):
            raise FtError(f"{part} is there, and nothing says what its rows are of; move it away, or name another file")
        found = Found()
    elif going is None:
        if of is not None and (there := sum(1 for _ in _whole_rows(rows, lines, growth.head))):
            raise FtError(
                f"{part} has {number_of(there, 'row')} of a file that is not whole yet; go on with it by --resume, or "
                "delete it to begin anew"
            )
        found = Found()
    elif of is None:
        if path.exists():
            raise FtError(f"{path} is whole, and there is nothing to go on with; leave out --resume to write it anew")
        found = Found()
    else:
        found = _gone_on_with(part, of, (rows, lines), growth, going)
    _make_ready(rows, lines, growth, found)
    return found if found.rows else Found(size=len(growth.head))


def _of(lines: BinaryIO) -> dict[str, Any] | None:
    """What the rows are of, as the first line says; None where nobody can go on with them."""
    lines.seek(0)
    try:
        first = json.loads(lines.readline(_LONGEST))
        return dict(first["of"]) if first["format"] == FORMAT and first["of"] is not None else None
    except (ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True)
class _Line:
    """What a line says of a row, and where line and row end."""

    key: str
    note: str
    line_ends: int
    row_ends: int


def _whole_rows(rows: BinaryIO, lines: BinaryIO, head: bytes) -> Iterator[_Line]:
    """What is said of each row that is there whole, behind the `head`; nothing is behind the first that is not."""
    rows.seek(0)
    lines.seek(0)
    line_ends, row_ends = len(lines.readline(_LONGEST)), len(head)
    if rows.read(len(head)) != head:
        return
    while (line := lines.readline(_LONGEST)).endswith(b"\n"):
        try:
            key, length, checksum, note = json.loads(line)
            content = rows.read(length)
        except (ValueError, TypeError):
            return
        if len(content) != length or zlib.crc32(content) != checksum:
            return
        line_ends, row_ends = line_ends + len(line), row_ends + length
        yield _Line(key, note, line_ends, row_ends)


def _gone_on_with(
    part: Path, of: Mapping[str, Any], files: tuple[BinaryIO, BinaryIO], growth: Growth, going: Going
) -> Found:
    """The rows that are kept. Raises FtError where they are of something else than what is asked for."""
    assert growth.of is not None
    begin_anew = f"ask for the same, or delete {part} to begin anew"
    for name, asked in growth.of.items():
        if of.get(name) != asked:
            was, now = ("", "") if name == "model" else (f" ({of.get(name)})", f" ({asked})")
            raise FtError(f"{part} has rows of another {name}{was} than is asked for{now}; {begin_anew}")
    keys = iter(going.keys)
    ends = array("q")
    notes: list[tuple[int, str]] = []
    for place, row in enumerate(_whole_rows(*files, growth.head)):
        asked = next(keys, None)
        if row.key != asked:
            was, now = (key.rpartition("\n")[0] for key in (row.key, asked or "nothing\n"))
            here = f"{now} is asked for there" if was != now else "that has changed since"
            raise FtError(f"row {place + 1} of {part} is of {was}, and {here}; {begin_anew}")
        ends.extend((row.line_ends, row.row_ends))
        if row.note:
            notes.append((place, row.note))
    kept = going.kept(len(ends) // 2)
    if not kept:
        return Found()
    return Found(kept, ends[2 * kept - 1], ends[2 * kept - 2], [note for place, note in notes if place < kept])


def _make_ready(rows: BinaryIO, lines: BinaryIO, growth: Growth, found: Found) -> None:
    """Cut off what is not kept; where that is all, begin with the heads."""
    for file, kept in ((lines, found.lines), (rows, found.size)):
        file.seek(kept)
        file.truncate()
    if not found.rows:
        lines.write(json.dumps({"format": FORMAT, "of": growth.of}).encode() + b"\n")
        lines.flush()
        rows.write(growth.head)
        rows.flush()


def _forget(*files: Path) -> None:
    for each in files:
        with suppress(FileNotFoundError):
            each.unlink()


def _tell(error: BaseException, file: Growing) -> None:
    """Say with an error where the rows are."""
    said = f"{number_of(file.done, 'row is', 'rows are')} in {file.part}; the same command with --resume goes on"
    if isinstance(error, FtError):
        error.args = (f"{error}\n{said}",)
    elif isinstance(error, StopAsked):
        error.add_note(f"({said})")
