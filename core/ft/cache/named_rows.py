"""Finds rows in the store by the names of what they were made of, in whatever entries they lie, and adds new ones.

So a set of images that grew, shrank, or was split otherwise has computed only what is new. A name is the sha256 of what
decides a row, but for what an entry's `about` says of all of its rows.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ft.cache.rows import Joined, Rows, Shape
from ft.cache.store import Entry, FeatureStore
from ft.prefix.records import Tensors

NAME = Shape((32,), "uint8")
"""The last tensor of an entry of named rows."""


@dataclass(frozen=True, eq=False)
class Found:
    """Which rows of certain names are there: row i is row `row[i]` of `parts[part[i]]`, or nowhere (-1). `seconds` is
    what it took to compute them."""

    parts: tuple[Rows, ...]
    part: torch.Tensor
    row: torch.Tensor
    seconds: float = 0.0

    @property
    def missing(self) -> list[int]:
        """The numbers of rows that are nowhere."""
        numbers: list[int] = torch.nonzero(self.part < 0).flatten().tolist()
        return numbers

    @property
    def rows(self) -> Joined | Rows:
        """The rows in their order; all have to be there, of those that are taken."""
        only = self.parts[0] if len(self.parts) == 1 else None
        if only is not None and torch.equal(self.row, torch.arange(len(only))):
            return only
        return Joined(self.parts, self.part, self.row)

    def plus(self, rows: Rows, places: Mapping[int, int], seconds: float) -> Found:
        """The same once certain rows are there, too: each number's is the one at its place among `rows`."""
        part, row, numbers = self.part.clone(), self.row.clone(), torch.tensor(list(places), dtype=torch.int64)
        part[numbers], row[numbers] = len(self.parts), torch.tensor(list(places.values()), dtype=torch.int64)
        return Found((*self.parts, rows), part, row, self.seconds + seconds)


def nothing_found(count: int) -> Found:
    """None of `count` rows is anywhere."""
    return Found((), *torch.full((2, count), -1, dtype=torch.int64))


def places_of(numbers: Sequence[int]) -> dict[int, int]:
    """The places of rows that lie in this order."""
    return {number: place for place, number in enumerate(numbers)}


@dataclass(frozen=True, eq=False)
class Shelf:
    """The rows in a store that are made in one way: `about` says everything that decides them beside their names."""

    store: FeatureStore
    about: Mapping[str, Any]

    def find(
        self,
        names: Sequence[bytes],
        wanted: Iterable[int] | None = None,
        damaged: Callable[[Path], object] | None = None,
    ) -> Found:
        """Find the rows of these names, or the `wanted` of them, in whole entries.

        They are mapped from their files. `damaged` is told of an entry that is not what was written, or has gone.
        """
        found = nothing_found(len(names))
        missing = dict.fromkeys(range(len(names)) if wanted is None else wanted)
        for entry in sorted(self._entries(self.about), key=lambda entry: -entry.rows):
            if not missing:
                break
            glanced = self.store.glance(entry)
            if glanced is None or not _places(glanced, names, missing):
                continue
            if self.store.find(entry.key) is None:  # others could have changed it; else it counts as used
                continue
            rows = self.store.read(entry, in_memory=False)
            if rows is None:
                if damaged is not None:
                    damaged(entry.path)
                continue
            places = _places(rows, names, missing)
            found = found.plus(_unnamed(rows), places, entry.about["seconds"] * len(places) / entry.rows)
            for number in places:
                del missing[number]
        return found

    def add(
        self,
        found: Found,
        names: Mapping[int, bytes],
        shapes: Sequence[Shape],
        batches: Iterator[Tensors],
        note: Mapping[str, Any] | None = None,
    ) -> Found:
        """Write rows that are not `found`, which come in `batches`, as an entry: their numbers and `names` in that
        order. Return what is there now: the new ones are mapped from the entry's file.

        Their seconds are what so many batches take once the first is done, without what writing them takes; those in
        `note`, which is kept beside the entry, count, too. Raises NotKept where that is not possible, and what
        `batches` raises; nothing is then kept.
        """
        done, took, named_so = 0, list[float](), list(names.values())
        kept = {**self.about, "seconds": 0.0, **(note or {})}
        with self.store.write(self._key(named_so), [*shapes, NAME], len(names), kept) as writer:
            started = time.perf_counter()
            for tensors in batches:
                took.append(time.perf_counter() - started)
                end = done + len(tensors[0])
                writer.put(done, (*tensors, named(named_so[done:end])))
                done, started = end, time.perf_counter()
            kept["seconds"] += _steady_seconds(took)
        return found.plus(_unnamed(writer.written), places_of(list(names)), kept["seconds"])

    def add_as_they_come(self, shapes: Sequence[Shape], most: int, rows: Iterator[tuple[bytes, Tensors]]) -> int:
        """Write rows one by one, with names that are known only then, as an entry. Return how many there were, of
        `most`.

        Of several with one name the first is kept. Raises NotKept where that is not possible, and what `rows` raises.
        """
        names: dict[bytes, None] = {}
        key = secrets.token_hex(16)  # other processes write entries of their own
        with self.store.write(key, [*shapes, NAME], most, {**self.about, "seconds": 0.0}) as writer:
            for name, tensors in rows:
                if name not in names:
                    writer.put(len(names), (*(tensor[None] for tensor in tensors), named([name])))
                    names[name] = None
            writer.cut(len(names))
        return len(names)

    def clear(self) -> None:
        """Remove every entry."""
        for entry in self._entries(self.about):
            self.store.remove(entry.path)

    def like(self, *but: str) -> list[Entry]:
        """The entries that are made in the same way, `but` for what these keys say."""
        return self._entries({key: value for key, value in self.about.items() if key not in but})

    def other_values(self, key: str, names: Sequence[bytes]) -> list[Any]:
        """The other values of `key` for which rows of some of these names are there, otherwise made in the same way."""
        others = [entry for entry in self.like(key) if entry.about.get(key, self.about[key]) != self.about[key]]
        glanced = [(entry.about[key], self.store.glance(entry)) for entry in others]
        every = range(len(names))
        return sorted({value for value, rows in glanced if rows is not None and _places(rows, names, every)})

    def _entries(self, about: Mapping[str, Any]) -> list[Entry]:
        named_rows = (entry for entry in self.store.entries() if entry.shapes[-1:] == (NAME,))
        return [
            entry
            for entry in named_rows
            if all(key in entry.about and entry.about[key] == value for key, value in about.items())
        ]

    def _key(self, names: Sequence[bytes]) -> str:
        text = json.dumps(self.about, sort_keys=True).encode()
        return hashlib.sha256(text + b"".join(names)).hexdigest()[:32]


def _steady_seconds(took: Sequence[float]) -> float:
    """What batches that took so long take without what happens once: processes that start, memory that is found."""
    return len(took) * statistics.median(took[1:] or took) if took else 0.0


def named(names: Sequence[bytes]) -> torch.Tensor:
    """Names as a tensor [rows, 32]."""
    return torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8).view(-1, 32)


def _places(rows: Rows, names: Sequence[bytes], missing: Iterable[int]) -> dict[int, int]:
    """Which row of an entry is the one of each missing number, as far as it has them."""
    written = np.ascontiguousarray(rows.tensors[-1].numpy()).view("V32").ravel().tolist()
    numbers = {name: number for number, name in enumerate(written)}
    return {number: numbers[names[number]] for number in missing if names[number] in numbers}


def _unnamed(rows: Rows) -> Rows:
    return Rows(rows.tensors[:-1], rows.file)
