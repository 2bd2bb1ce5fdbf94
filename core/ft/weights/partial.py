"""What has arrived of a file so far, kept so that a later process goes on where a killed one stopped."""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ft.errors import FtError
from ft.machine.files import explained, left_behind, make_room, temporary_beside
from ft.text.documents import read_json

_ENDING = ".part"


@dataclass
class Partial:
    """The first `done` bytes of the file at `path`, of the version that `validator` names, of `total` if that is known.

    A partial file only ever grows, and belongs to one process; of several that find one left behind, the one whose
    rename succeeds has it. Beside it lies a small JSON file with the rest of this record.
    """

    path: Path
    key: str
    keep: bool
    validator: str = ""
    total: int | None = None
    part: Path | None = None
    file: io.FileIO | None = None
    done: int = 0

    @property
    def lasting(self) -> bool:
        """Whether a later process can go on with what has arrived."""
        return self.keep and bool(self.validator) and self.done > 0

    def begin(self, validator: str, total: int | None) -> None:
        """Start with nothing, for a version of the file and its length. Raises FtError, as for a full disk."""
        self.discard()
        self.validator, self.total, self.part = validator, total, temporary_beside(self.path, _ENDING)
        with explained(self.path, total):
            make_room(self.path, total)
            self._describe(self.part)
            self.file = self.part.open("xb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """Append bytes; they survive the end of the process at once. Raises FtError when the disk is full."""
        assert self.file is not None
        try:
            with explained(self.path, self.total):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[self.file.write(rest) :]
        except FtError:
            self.discard()
            raise
        self.done += len(chunk)

    def finish(self) -> Path:
        """Return the whole, synced file under its temporary name. Raises FtError."""
        assert self.file is not None
        assert self.part is not None
        with explained(self.path, self.total):
            os.fsync(self.file.fileno())
            self._close()
        return self.part

    def published(self) -> None:
        """Forget the partial file, which has its final name now."""
        if self.part is not None:
            _sidecar(self.part).unlink(missing_ok=True)
        self.part = None

    def discard(self) -> None:
        """Delete what has arrived."""
        self._close()
        if self.part is not None:
            for each in (self.part, _sidecar(self.part)):
                with contextlib.suppress(OSError):
                    each.unlink()
        self.part, self.done, self.validator, self.total = None, 0, "", None

    def leave(self) -> None:
        """Stop here: what has arrived is anyone's to go on with, or is deleted if that would not be safe."""
        self._close()
        if self.part is None or not self.lasting:
            self.discard()
            return
        left = temporary_beside(self.path, _ENDING, pid=0)
        with contextlib.suppress(OSError):
            self._describe(left)
            os.replace(self.part, left)
            _sidecar(self.part).unlink()
        self.part = None

    def _describe(self, part: Path) -> None:
        content = {"key": self.key, "validator": self.validator, "total": self.total}
        _sidecar(part).write_text(json.dumps(content), encoding="utf-8")

    def _close(self) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        self.file = None


def take_up(path: Path, key: str, keep: bool) -> Partial:
    """Return the longest partial file for `path` that was left behind under the same `key`, or an empty one."""
    found = [each for each in left_behind(path.parent, path.name) if each.name.endswith(_ENDING)] if keep else []
    for old in sorted(found, key=_size, reverse=True):
        if mine := _claim(old, path, key):
            return mine
    return Partial(path, key, keep)


def _claim(old: Path, path: Path, key: str) -> Partial | None:
    try:
        known = read_json(_sidecar(old))
        validator, total = known["validator"], known["total"]
        if known["key"] != key or not validator or not isinstance(total, int | None):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    mine = Partial(path, key, True, validator, total, temporary_beside(path, _ENDING))
    assert mine.part is not None
    try:
        mine._describe(mine.part)  # before the rename, so that a kill at any moment leaves a pair
        os.rename(old, mine.part)
        _sidecar(old).unlink(missing_ok=True)
        mine.file = mine.part.open("ab", buffering=0)
        mine.done = _size(mine.part)
    except OSError:  # another process was faster
        mine.discard()
        return None
    if total is not None and mine.done > total:
        mine.discard()
        return None
    return mine


def _sidecar(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
