"""Files of many images each: which ones a pattern names, what splits they are of, and reading from them in place."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft import FtError, file_state
from ft_data.splits import Split, split_of

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 100_000


@dataclass(frozen=True)
class Shard:
    """A file of many images: its name among the others, its split where its name says one, and what it was when it was
    listed."""

    path: Path
    name: str
    split: Split | None
    state: str
    size: int
    changed: int

    def check_same(self, found: os.stat_result) -> None:
        """Raise ValueError where the file is another one by now."""
        if (found.st_size, found.st_mtime_ns) != (self.size, self.changed):
            raise ValueError(f"{self.path} has changed since its images were listed")


def find_shards(pattern: str | None, source: str, suffix: str) -> list[Shard]:
    """The files that a pattern names, in its order: {000..012} counts, {a,b} names both, * and ? stand for any, and a
    folder for its files with this suffix. Raises FtError for none, and for one that is not there."""
    if not pattern:
        raise FtError(f"which files? Write {source}:PATTERN, as in '{source}:./train-{{000..012}}{suffix}'")
    paths: dict[Path, None] = {}
    for one in _expanded(os.path.expanduser(pattern)):
        paths.update(dict.fromkeys(_named(one, pattern, suffix)))
    root = os.path.commonpath([path.absolute().parent for path in paths])
    return [_shard(path, os.path.relpath(path.absolute(), root)) for path in paths]


def _named(text: str, pattern: str, suffix: str) -> list[Path]:
    if os.path.isdir(text):
        found = sorted(Path(text).rglob(f"*{suffix}"))
        if not found:
            raise FtError(f"there is no {suffix} file in {text}")
        return found
    if os.path.isfile(text):
        return [Path(text)]
    found = [Path(name) for name in sorted(glob.glob(text, recursive=True)) if os.path.isfile(name)]
    if not found:
        why = "names no file" if text == pattern else f"names {text}, which is no file"
        raise FtError(f"the pattern {pattern} {why}, seen from {os.getcwd()}")
    return found


def _expanded(text: str) -> Iterator[str]:
    """What a pattern with braces stands for. Raises FtError for more than anybody means."""
    found = _BRACES.search(text)
    if found is None:
        yield text
        return
    for count, each in enumerate(_choices(found[1])):
        if count == _MOST:
            raise FtError(f"'{{{found[1]}}}' stands for more than {_MOST} names")
        yield from _expanded(text[: found.start()] + each + text[found.end() :])


def _choices(text: str) -> Iterator[str]:
    between = _RANGE.fullmatch(text)
    if between is None:
        yield from text.split(",")
        return
    first, last = int(between[1]), int(between[2])
    step = 1 if last >= first else -1
    for number in range(first, last + step, step):
        yield str(number).zfill(len(between[1]))


def _shard(path: Path, name: str) -> Shard:
    try:
        found = os.stat(path)
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror}") from error
    return Shard(path, name.replace(os.sep, "/"), _split(name), file_state(path), found.st_size, found.st_mtime_ns)


def _split(name: str) -> Split | None:
    """The split that a folder or the beginning of a file's name says."""
    words = [*Path(name).parts[:-1], re.split(r"[-_.]", Path(name).name)[0]]
    return next((split for word in reversed(words) if (split := split_of(word)) is not None), None)


def all_or_none(shards: Sequence[Shard]) -> list[Shard]:
    """The same shards without splits, unless each has one and some of them train."""
    splits = {shard.split for shard in shards}
    if None not in splits and "train" in splits and len(splits) > 1:
        return list(shards)
    return [Shard(one.path, one.name, None, one.state, one.size, one.changed) for one in shards]
