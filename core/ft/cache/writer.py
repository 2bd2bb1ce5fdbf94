"""Writes rows of tensors to a file of the store, and gives them back mapped from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ft.cache.rows import Rows, Shape, header, map_rows, starts
from ft.errors import FtError
from ft.machine.files import sha256_of
from ft.prefix.digest import tensor_bytes
from ft.prefix.records import DTYPES, Tensors
from ft.text.reading import open_plain

_MOVED_AT_ONCE = 2**20


class NotKept(FtError):
    """The store cannot be written to, or has no room."""


class Writer:
    """Puts rows where they belong in a file that is not published yet, and then gives them back.

    `written` is there once all is, mapped from the file. It lasts, whoever removes the entry meanwhile, to make room.
    """

    written: Rows
    sha256: str
    rows: int

    def __init__(self, file: BinaryIO, shapes: Sequence[Shape], rows: int) -> None:
        self._file, self._shapes, self.rows = file, shapes, rows
        self._starts = starts(shapes, rows)[:-1]
        file.write(header(shapes, rows))

    def put(self, row: int, tensors: Tensors) -> None:
        """Write a batch of rows, the first of which is number `row`. Raises NotKept when the disk refuses."""
        for start, shape, tensor in zip(self._starts, self._shapes, tensors, strict=True):
            assert tensor.shape[1:] == shape.shape, f"{tuple(tensor.shape)} are no rows of {shape}"
            assert tensor.dtype == DTYPES[shape.dtype][1], f"{tensor.dtype} is not {shape.dtype}"
            assert row + len(tensor) <= self.rows, f"there are {self.rows} rows"
            with self._refusals():
                self._file.seek(start + row * shape.row_bytes)
                self._file.write(tensor_bytes(tensor))

    def cut(self, rows: int) -> None:
        """Make an end after so many rows, fewer than were thought of. Raises NotKept when the disk refuses."""
        before, (*self._starts, end) = self._starts, starts(self._shapes, rows)
        self.rows = rows
        with self._refusals():
            for shape, old, new in zip(self._shapes, before, self._starts, strict=True):
                self._move(old, new, shape.row_bytes * rows)
            self._file.truncate(end)
            self._file.seek(0)
            self._file.write(header(self._shapes, rows))

    def _move(self, old: int, new: int, size: int) -> None:
        """Copy bytes to an earlier place."""
        for done in range(0, size if new < old else 0, _MOVED_AT_ONCE):
            self._file.seek(old + done)
            some = self._file.read(min(_MOVED_AT_ONCE, size - done))
            self._file.seek(new + done)
            self._file.write(some)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotKept(f"cannot write {self._file.name}: {error.strerror or error}") from error

    def finish(self, path: Path) -> None:
        """Look at what was written before it gets the name under which another process may remove it."""
        try:
            self.sha256 = sha256_of(path)
            with open_plain(path) as file:
                self.written = map_rows(file, self._shapes, self.rows)
        except (OSError, FtError) as error:
            raise NotKept(f"what was written cannot be read again: {error}") from error
