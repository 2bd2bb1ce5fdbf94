"""Features on disk: one safetensors file for each key, and a note beside it that says the file is whole.

What a pass computes lies in several of them, its shards.

A key stands for everything that decides the values, so whoever finds an entry may use it. Entries appear whole or not
at all: the data file is published first, its note last, and only what has a note counts. Several processes may write
the same key; the last one's identical file wins. When room is needed, decoded images go first, since they are large and
quickly made, and of them, and of the rest, what was used longest ago.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft.cache.rows import Rows, Shape, map_rows, whole_size
from ft.cache.writer import NotKept, Writer
from ft.errors import FtError
from ft.machine.files import CannotWrite, cache_folder, left_behind, megabytes, publish, publish_json, sha256_of
from ft.machine.ownership import others_can_change
from ft.text.documents import read_json
from ft.text.reading import open_plain

SHARD_BYTES = 256 * 10**6
"""About how large a file of features becomes."""
DECODED = "decoded images"
"""What an entry of decoded images says of itself in place of a promise."""


@dataclass(frozen=True)
class Entry:
    """A whole entry of the store. `about` is what the writer said of it; `used` the time of the last use."""

    key: str
    path: Path
    size: int
    sha256: str
    rows: int
    shapes: tuple[Shape, ...]
    about: Mapping[str, Any]
    used: float

    @property
    def of_images(self) -> bool:
        """Whether its rows are decoded images."""
        return self.about.get("promise") == DECODED

    @property
    def made_alike(self) -> str:
        """What it has in common with other shards of one pass, and with rows that are added to them."""
        return json.dumps({key: value for key, value in self.about.items() if key != "seconds"}, sort_keys=True)


class FeatureStore:
    """The folder of features; `limit` bounds its size in bytes, and `shard_bytes` that of each file of a pass.

    What was written, or read whole, is not read again for its digest by the same object, which is a run's: it stays
    mapped until it is removed.
    """

    def __init__(self, limit: int, folder: Path | None = None, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.limit, self.shard_bytes = folder or cache_folder() / "features", limit, shard_bytes
        self._mapped: dict[str, tuple[str, Rows]] = {}
        self._notes: dict[Path, tuple[tuple[int, ...], Entry]] = {}

    def path(self, key: str) -> Path:
        """Where the tensors of `key` are, or would be."""
        return self.folder / f"{key}.safetensors"

    def find(self, key: str) -> Entry | None:
        """Return the entry of `key`, which thereby counts as used just now; None when there is no whole one."""
        entry = self._entry(self.folder / f"{key}.json")
        if entry is not None and any(
            map(others_can_change, (self.folder, entry.path, entry.path.with_suffix(".json")))
        ):
            return None  # computed anew, which replaces it unless that is refused
        if entry is not None:
            try:
                os.utime(self.folder / f"{key}.json")
            except FileNotFoundError:
                return None  # removed meanwhile, to make room
            except OSError:
                pass  # someone else's, or on a disk that is only read
        return entry

    def entries(self) -> list[Entry]:
        """All whole entries, the one used longest ago first."""
        found = [self._entry(note) for note in self._files(".json")]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.used)

    def obstacle(self, size: int) -> str:
        """Why `size` bytes could not be written here; "" when they could. What is here already may make room."""
        folder = next(parent for parent in (self.folder, *self.folder.parents) if os.path.exists(parent))
        if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
            return f"{folder} is no folder that can be written to; set FT_CACHE to one"
        if said := others_can_change(self.folder):
            return f"{said}; or set FT_CACHE to another folder"
        try:
            free = shutil.disk_usage(folder).free + sum(entry.size for entry in self.entries())
        except OSError as error:
            return f"{folder} does not answer ({error.strerror}); set FT_CACHE to another folder"
        if size > free:
            return f"they would take {megabytes(size)}, and {megabytes(free)} are free on the disk of {folder}"
        return ""

    def has_room_for_images(self, size: int) -> bool:
        """Whether `size` bytes of decoded images have room beside all that is here but such."""
        there = sum(entry.size for entry in self.entries() if not entry.of_images)
        return there + size <= self.limit and not self.obstacle(size)

    def make_room(self, size: int) -> None:
        """Remove what was used longest ago until there is room for `size` bytes. Raises NotKept where there is none."""
        if size > self.limit:
            raise NotKept(f"{megabytes(size)} are more than cache.disk_gb allows, {megabytes(self.limit)}")
        if obstacle := self.obstacle(size):
            raise NotKept(obstacle)
        self.prune(self.limit - size, room=size)

    @contextmanager
    def write(self, key: str, shapes: Sequence[Shape], rows: int, about: Mapping[str, Any]) -> Iterator[Writer]:
        """Write an entry; it exists once the block has ended without an exception. `about` may grow in the block.

        Raises NotKept where that is not possible: before anything is computed, unless the disk becomes full meanwhile.
        """
        path = self.path(key)
        size = whole_size(shapes, rows)
        self.make_room(size)
        late = os.name == "nt"  # where a file that is mapped gets no other name
        try:
            with publish(path, size=size, check=None if late else lambda written: writer.finish(written)) as file:
                writer = Writer(file, shapes, rows)
                yield writer
            if late:
                writer.finish(path)
            size, rows = whole_size(shapes, writer.rows), writer.rows
            note = {"sha256": writer.sha256, "size": size, "rows": rows, "about": about}
            publish_json(
                self.folder / f"{key}.json", {**note, "shapes": [{"shape": s.shape, "dtype": s.dtype} for s in shapes]}
            )
            self._mapped[key] = (writer.sha256, writer.written)
        except CannotWrite as error:
            if not os.path.exists(self.folder / f"{key}.json"):
                with suppress(OSError):
                    path.unlink()
            raise NotKept(str(error)) from error
        self.prune(self.limit)  # others may have written at the same time

    def read(self, entry: Entry, in_memory: bool) -> Rows | None:
        """Return the rows of an entry: copied to memory, or mapped from the file.

        None when the file is gone, or is not what was written; it is then removed.
        """
        sha256, rows = self._mapped.get(entry.key, ("", None))
        if rows is not None and sha256 == entry.sha256:
            return rows.in_memory() if in_memory else rows
        try:
            with open_plain(entry.path) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                    if _is_still(entry):
                        self.remove(entry.path)
                    return None
                mapped = map_rows(file, entry.shapes, entry.rows)
                if in_memory:
                    return mapped.in_memory()
                self._mapped[entry.key] = (entry.sha256, mapped)
                return mapped
        except OSError:
            return None  # removed meanwhile, to make room, or the disk does not give it back

    def glance(self, entry: Entry) -> Rows | None:
        """The rows of an entry, mapped from the file, without reading whether they are what was written."""
        try:
            with entry.path.open("rb") as file:
                return map_rows(file, entry.shapes, entry.rows)
        except (OSError, ValueError):
            return None  # removed meanwhile, or cut short

    def damaged(self) -> list[Path]:
        """Read every file again; return those that are not what was written, or cannot be read."""
        found = []
        for path in self._files(".safetensors"):
            note = path.with_suffix(".json")
            if not (os.access(note, os.R_OK) and os.access(path, os.R_OK)):
                continue  # being published or removed just now, or someone else's
            entry = _entry(note)
            if entry is None:
                found += [path] if os.path.exists(note) else []
                continue
            with suppress(FtError):  # the disk does not give it back, or it was removed meanwhile
                if sha256_of(path) == entry.sha256:
                    continue
            if _is_still(entry):
                found.append(path)
        return found

    def prune(self, limit: int, room: int = 0) -> list[Entry]:
        """Remove entries, decoded images and those used longest ago first, until all take `limit` bytes at most and the
        disk has `room` more; and what writers that died left behind. Returns what is removed."""
        entries, dead = self.entries(), left_behind(self.folder)
        whole = {entry.key for entry in entries}
        # Notes of others who share the folder may be theirs alone.
        notes = self._files(".json")
        readable = {file.stem: os.access(file, os.R_OK) for file in notes}
        files = (*self._files(".safetensors"), *notes)
        halves = [file for file in files if file.stem not in whole and readable.get(file.stem, True)]
        # They may be published or removed just now; who is dead here may live in a container, but writes every batch.
        for left, age in (*((half, 3600) for half in halves), *((file, 600) for file in dead)):
            if _age(left) > age:
                with suppress(OSError):
                    left.unlink()
        alive = [file for file in self._files(".tmp") if file not in dead]
        total = sum(entry.size for entry in entries) + sum(map(_size, alive))
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError:  # nothing is there, or it is gone
            free = room
        limit = min(limit, total - max(0, room - free))
        removed = []
        for entry in sorted(entries, key=lambda entry: not entry.of_images):
            if total <= limit:
                break
            if self.remove(entry.path):
                removed.append(entry)
                total -= entry.size
        return removed

    def _entry(self, note: Path) -> Entry | None:
        """The entry of a note, which is read again only where it, or its file, is another one by now."""
        try:
            found = os.stat(note), os.stat(note.with_suffix(".safetensors"))
        except OSError:
            return None
        state = tuple(number for each in found for number in (each.st_ino, each.st_size, each.st_mtime_ns))
        before, entry = self._notes.get(note, ((), None))
        if entry is None or state != before:
            entry = _entry(note)
            if entry is not None:
                self._notes[note] = state, entry
        return entry

    def _files(self, ending: str) -> list[Path]:
        """The files with this ending; none where there is no folder, or its disk does not answer."""
        try:
            return [self.folder / name for name in sorted(os.listdir(self.folder)) if name.endswith(ending)]
        except OSError:
            return []

    def remove(self, path: Path) -> bool:
        """Take the entry with this file away: its note first, so that it is never taken for whole. False when it stays,
        being someone else's, who lets others read."""
        self._mapped.pop(path.stem, None)
        try:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _entry(note: Path) -> Entry | None:
    path = note.with_suffix(".safetensors")
    try:
        content = read_json(note)
        if path.stat().st_size != content["size"]:
            return None
        shapes, rows = tuple(Shape(tuple(s["shape"]), s["dtype"]) for s in content["shapes"]), content["rows"]
        if content["size"] != whole_size(shapes, rows):
            return None
        used = note.stat().st_mtime
        return Entry(note.stem, path, content["size"], content["sha256"], rows, shapes, content["about"], used)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # half removed, or not ours: either way no whole entry


def _is_still(entry: Entry) -> bool:
    """Whether nobody has written the entry anew since it was looked at."""
    now = _entry(entry.path.with_suffix(".json"))
    return now is not None and now.sha256 == entry.sha256


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
