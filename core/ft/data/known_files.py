"""Remembers images that were read, so that the next start reads only the files that changed since.

There is one file in the cache folder for each folder of images, or data source that opens its own. It only saves time:
where it is lost, damaged or cannot be written, images are read again. Processes that write it at the same time replace
each other's, whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.machine.files import cache_folder, publish_bytes
from ft.machine.ownership import doubtful
from ft.text.documents import parse_json
from ft.text.reading import MOST_TABLE, read_bytes

SETTLED = 2 * 10**9
"""Nanoseconds for which a file has to be left alone before it is taken for unchanged by its state: what is written to
twice within one tick of its clock (of FAT: two seconds) looks the same."""
_NO_FILES = 100_000
"""How many images that are no files are remembered at most: nobody can see that they are gone."""
_OTHERS = 2
"""How many times as many files as are asked for may be remembered before those that are gone are forgotten."""


@dataclass(frozen=True)
class Known:
    """What is remembered of files, by their absolute names: the sha256 of what they held, and the state they were in
    then. What has no state is to be read again: a file that just changed, an image that is no file."""

    digests: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """By their sha256: what is unusual about those of which something is, as JSON has it."""

    def having_seen(self, files: Mapping[str, tuple[str, str]], facts: Mapping[str, Any]) -> Known:
        """The same with what was just read: digest and state of files, and facts by digest."""
        digests = {name: digest for name, (digest, _) in files.items()}
        states = {name: state for name, (_, state) in files.items()}
        return Known({**self.digests, **digests}, {**self.states, **states}, {**self.facts, **facts})


def state_of(name: str) -> str:
    """By what a file is taken for unchanged: size, inode, and both times, of which a program can set back only one.

    "" where it is not there, or its disk does not answer.
    """
    found = _stat(name)
    return _state(found) if found is not None else ""


def file_state(path: str | Path) -> str:
    """By what a file is taken for unchanged; "" where it is not there, and where it was changed so recently that
    another change might not show."""
    found = _stat(os.fspath(path))
    if found is None or max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - SETTLED:
        return ""
    return _state(found)


def recall(place: str, reader: str) -> Known:
    """What a `reader` of images remembers of those in a folder, or of a source."""
    file = _remembered(place)
    if doubtful(file.parent, file):  # so that nobody else makes a start pass over what changed
        return Known()
    try:
        digest, _, content = read_bytes(file, MOST_TABLE).partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return Known()
        columns = parse_json(content.decode())
        if columns["reader"] != reader:
            return Known()
        digests, states = (dict(zip(columns["names"], columns[each], strict=True)) for each in ("digests", "states"))
        return Known(digests, states, dict(columns["facts"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Known()


def remember(place: str, reader: str, known: Known, asked: int) -> None:
    """Remember what is `known` in place of what was; a start `asked` for so many images."""
    names = list(known.digests)
    if len(names) > _OTHERS * asked:
        others = [name for name in names if not os.path.isabs(name)]
        names = [*others[-_NO_FILES:], *(name for name in names if os.path.isabs(name) and os.path.lexists(name))]
    kept = {known.digests[name] for name in names}
    columns = {
        "reader": reader,
        "facts": {digest: facts for digest, facts in known.facts.items() if digest in kept},
        "names": names,
        "digests": [known.digests[name] for name in names],
        "states": [known.states[name] for name in names],
    }
    content = json.dumps(columns).encode()
    with suppress(FtError):  # a read-only home is common on clusters
        publish_bytes(_remembered(place), hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def _stat(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except OSError:
        return None


def _state(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _remembered(place: str) -> Path:
    return cache_folder() / "known" / f"{hashlib.sha256(os.fsencode(place)).hexdigest()}.json"
