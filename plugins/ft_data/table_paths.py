"""The files that the paths in a table mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft import FtError


@dataclass(frozen=True)
class Found:
    """The files of a table, and the paths in which backslashes were read as slashes."""

    found: Sequence[Path]
    turned: Sequence[str]


def find_files(table: Path, folder: Path, texts: Sequence[tuple[int, str]]) -> Found:
    """Return the files that the paths in a table's lines mean, relative to `folder`. Raises FtError if one lacks."""
    found, turned, missing = [], [], []
    for line, text in texts:
        if not text.strip():
            raise FtError(f"{table}, line {line}: the path is empty")
        path = next((path for path in _ways(folder, text) if os.path.isfile(path)), None)
        if path is None:
            missing.append(text.strip())
        else:
            found.append(path)
        if path == folder / _slashed(text) != folder / text.strip():
            turned.append(text.strip())
    if missing:
        raise FtError(_not_there(table, folder, missing, len(texts)))
    return Found(found, turned)


def _ways(folder: Path, text: str) -> Iterator[Path]:
    """What a path may mean: as it is written first."""
    plain = text.strip()
    yield folder / text
    yield folder / plain
    yield folder / os.path.expanduser(plain)
    if "\\" in plain:
        yield folder / _slashed(plain)
        yield folder / _as_bytes(text)
        yield folder / _as_bytes(plain)


def _slashed(text: str) -> str:
    return text.strip().replace("\\", "/")


def _as_bytes(text: str) -> str:
    r"""The file name in which \xe9 is a byte, as ft spells out what is no UTF-8 in its own tables."""
    return os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode()))


def _not_there(table: Path, folder: Path, missing: Sequence[str], count: int) -> str:
    more = [f"  ... and {len(missing) - 20} more"] if len(missing) > 20 else []
    listed = "\n".join([*(f"  {folder / text}" for text in missing[:20]), *more])
    absent = "does not exist" if len(missing) == 1 else "do not exist"
    return (
        f"{len(missing)} of the {count} images in {table} {absent}:\n{listed}\n{_where(folder, missing[0])}"
        f"Paths are relative to {folder}; --set data.root=FOLDER changes that"
    )


def _where(folder: Path, text: str) -> str:
    """Where a missing image may be: in a folder beside the table, or under a name with a suffix."""
    if re.match(r"[a-z0-9]+://", text, re.IGNORECASE):
        return "ft reads files on this machine; fetch those of addresses first. "
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if os.path.isdir(folder) else []
    for place in (folder, *inner):
        wanted = place / text
        if place != folder and os.path.isfile(wanted):
            return f"{wanted} is there: --set data.root={place.name} if all are. "
        beside = wanted.parent.iterdir() if os.path.isdir(wanted.parent) else ()
        if with_suffix := sorted(path for path in beside if path.stem == wanted.name and path.is_file()):
            return f"{with_suffix[0]} is there: paths need their suffix. "
    return ""
