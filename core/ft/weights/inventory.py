"""What is in the cache of weight files, whether it is still what it was, and what of it could go."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ft.errors import FtError
from ft.machine.files import left_behind
from ft.text.documents import read_json
from ft.weights.cache import Cache
from ft.weights.format import WEIGHT_SUFFIXES
from ft.weights.hashes import MISNAMED, digest_in

_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Stored:
    """A weight file in the cache. `sha256` is the recorded digest, "" when there is no record."""

    path: Path
    size: int
    sha256: str = ""
    entry: str = ""
    origin: str = ""
    record: Path | None = None
    used: float = 0.0

    @property
    def is_fetched(self) -> bool:
        """Whether ft put it there, so that it can be had again."""
        return bool(self.sha256) and self.origin != Cache.FOUND


@dataclass(frozen=True)
class State:
    """What a look at the content of a stored file says."""

    stored: Stored
    state: Literal["ok", "damaged", "unknown"]
    detail: str


@dataclass(frozen=True)
class Removable:
    """A file that nobody needs, and why."""

    path: Path
    size: int
    why: str


def stored_weights(cache: Cache) -> list[Stored]:
    """Return the weight files in the cache's folder, by name. Nothing but their records is read."""
    paths = sorted(cache.folder.iterdir()) if cache.folder.is_dir() else []
    files = [path for path in paths if path.name.endswith(WEIGHT_SUFFIXES) and not path.name.startswith(".")]
    return [_stored(cache, path) for path in files if path.exists()]  # not where a link leads nowhere


def examine(cache: Cache, stored: Stored) -> State:
    """Read all of a file and compare it with its record, else with the digits that its name says."""
    try:
        digest = cache.digest(stored.path)
    except FtError as error:
        return State(stored, "damaged", str(error))
    expected = stored.sha256 or MISNAMED.get(stored.path.name, "") or digest_in(stored.path.name)
    if not expected:
        return State(stored, "unknown", "no record and no digest in its name; nothing to compare it with")
    if not digest.startswith(expected):
        return State(stored, "damaged", f"sha256 is {digest[:16]}, should be {expected[:16]}")
    return State(stored, "ok", f"sha256 {digest[:16]}, as {'recorded' if stored.sha256 else 'its name says'}")


def removable(cache: Cache, unused_days: float | None = None) -> list[Removable]:
    """Return what could go: what is damaged, set aside or left behind, and fetched files not used for so many days."""
    return [each for each in (*_leftovers(cache), *_files(cache, unused_days)) if each.path.is_file()]


def _leftovers(cache: Cache) -> Iterator[Removable]:
    now = time.time()
    for folder in (cache.folder, cache.records):
        for path in left_behind(folder):
            yield _removable(path, "left behind by a process that was killed")
    for path in sorted(path for path in cache.folder.glob("*.bad-*") if re.search(r"\.bad-[0-9a-f]{8}$", path.name)):
        yield _removable(path, "damaged, and set aside")
    for path in sorted(cache.folder.glob("*.partial")):
        if now - path.stat().st_mtime > _DAY:
            yield _removable(path, "left behind by torch.hub")
    for path in sorted(cache.records.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            file = Path(read_json(path)["file"])
            if file.parent == cache.folder.absolute() and not file.exists():
                yield _removable(path, f"the record of {file.name}, which is gone")


def _files(cache: Cache, unused_days: float | None) -> Iterator[Removable]:
    for stored in stored_weights(cache):
        if not stored.is_fetched or stored.record is None:
            continue
        idle = (time.time() - stored.used) / _DAY
        if unused_days is not None and idle >= unused_days:
            why = f"not used for {idle:.0f} days"
        elif examine(cache, stored).state == "damaged":
            why = "damaged"
        else:
            continue
        yield _removable(stored.path, why)
        yield _removable(stored.record, f"the record of {stored.path.name}")


def _stored(cache: Cache, path: Path) -> Stored:
    record, size = cache.record_of(path), path.stat().st_size
    try:
        content = read_json(record)
        sha256, entry, origin = (str(content[key]) for key in ("sha256", "entry", "from"))
        return Stored(path, size, sha256, entry, origin, record, record.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError):
        return Stored(path, size)


def _removable(path: Path, why: str) -> Removable:
    try:
        return Removable(path, path.stat().st_size, why)
    except OSError:
        return Removable(path, 0, why)
