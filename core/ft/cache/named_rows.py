"""Finds rows in the store by the names of what they were made of, in whatever entries they lie, and adds new ones.

So a set of images that grew, shrank, or was split otherwise has computed only what is new. A name is the sha256 of what
decides a row, but for what an entry's `about` says of all of its rows.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path
from typing import Any

import torch

from ft.cache.rows import Joined, Rows, Shape
from ft.cache.shards import Pieces, rows_in_shard, size_in_shards
from ft.cache.store import Entry, FeatureStore
from ft.cache.wanted_names import WantedNames
from ft.cache.writer import NotKept
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

    def plus(self, shards: Sequence[tuple[Rows, torch.Tensor, torch.Tensor, float]]) -> Found:
        """The same once certain rows are there, too: of each shard the numbers, their places among its rows, and
        seconds."""
        part, row, seconds = self.part.clone(), self.row.clone(), self.seconds
        for count, (_, numbers, places, took) in enumerate(shards, len(self.parts)):
            part[numbers], row[numbers] = count, places
            seconds += took
        return Found((*self.parts, *(rows for rows, *_ in shards)), part, row, seconds)


def nothing_found(count: int) -> Found:
    """None of `count` rows is anywhere."""
    return Found((), *torch.full((2, count), -1, dtype=torch.int64))


def places_of(numbers: Sequence[int]) -> dict[int, int]:
    """The places of rows that lie in this order."""
    return {number: place for place, number in enumerate(numbers)}


@dataclass(frozen=True, eq=False)
class _Shard:
    """A shard that was written: its key, its rows, and how long they took."""

    key: str
    rows: Rows
    seconds: float


class _NothingNew(Exception):
    """What was to be written is there already, or is nothing."""


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
        asked, shards = WantedNames(names, wanted), list[tuple[Rows, torch.Tensor, torch.Tensor, float]]()
        for entry in sorted(self._entries(self.about), key=lambda entry: -entry.rows):
            if not asked.missing:
                break
            glanced = self.store.glance(entry)
            if glanced is None or not asked.are_among(glanced):
                continue
            if self.store.find(entry.key) is None:  # others could have changed it; else it counts as used
                continue
            rows = self.store.read(entry, in_memory=False)
            if rows is None:
                if damaged is not None:
                    damaged(entry.path)
                continue
            numbers, places = asked.take(rows)
            shards.append((_unnamed(rows), numbers, places, entry.about["seconds"] * len(numbers) / entry.rows))
        return nothing_found(len(names)).plus(shards)

    def add(
        self,
        found: Found,
        names: Mapping[int, bytes],
        shapes: Sequence[Shape],
        batches: Iterator[Tensors],
        note: Mapping[str, Any] | None = None,
    ) -> Found:
        """Write rows that are not `found`, which come in `batches`, their numbers and `names` in that order. Return
        what is there now: the new ones are mapped from their files.

        They are written in shards, each an entry of its own that is whole as soon as it is written; so whoever computes
        some of the rows, in whatever process, adds those, and whoever looks finds them all. Their seconds are what so
        many batches take, without what happens once and what writing them takes; those in `note`, which is kept beside
        each shard, count, too. Raises NotKept where rows cannot be written, and nothing of them is then kept; and what
        `batches` raises, after what came until then was kept.
        """
        numbers, named_so, shapes = list(names), list(names.values()), [*shapes, NAME]
        self.store.make_room(size_in_shards(shapes, len(names), self.store.shard_bytes))
        most = rows_in_shard(shapes, len(names), self.store.shard_bytes)
        pieces, shards = Pieces(batches), list[_Shard]()
        try:
            for start in range(0, len(names), most):
                some = named_so[start : start + most]
                shard = self._write(some, shapes, pieces, len(some) / len(names), note or {})
                if shard is not None:
                    shards.append(shard)
                if pieces.ended is not None:
                    break
            pieces.end()
        except NotKept:
            for shard in shards:
                self.store.remove(self.store.path(shard.key))
            raise
        starts = [0, *accumulate(len(shard.rows) for shard in shards)]
        return found.plus(
            [
                (shard.rows, torch.tensor(numbers[start:end]), torch.arange(end - start), shard.seconds)
                for shard, (start, end) in zip(shards, pairwise(starts), strict=True)
            ]
        )

    def _write(
        self, names: Sequence[bytes], shapes: Sequence[Shape], pieces: Pieces, share: float, note: Mapping[str, Any]
    ) -> _Shard | None:
        """Write one shard; None where there was nothing left for it, or less than is there already."""
        key, kept = self._key(names), {**self.about, "seconds": 0.0, **note}
        try:
            with self.store.write(key, shapes, len(names), kept) as writer:
                done = pieces.fill(writer, (named(names),))
                if done < len(names):
                    if done == 0 or self.store.find(key) is not None:
                        raise _NothingNew
                    writer.cut(done)
                kept["seconds"] = kept["seconds"] * share * done / len(names) + pieces.seconds()
        except _NothingNew:
            return None
        return _Shard(key, _unnamed(writer.written), kept["seconds"])

    def add_as_they_come(self, shapes: Sequence[Shape], most: int, rows: Iterator[tuple[bytes, Tensors]]) -> int:
        """Write rows one by one, with names that are known only then, in shards. Return how many there were, of `most`.

        Of several with one name the first is kept. Raises NotKept where that is not possible, and what `rows` raises;
        shards that are whole stay.
        """
        names: dict[bytes, None] = {}
        shapes = [*shapes, NAME]
        in_shard = rows_in_shard(shapes, most, self.store.shard_bytes)
        self.store.make_room(size_in_shards(shapes, most, self.store.shard_bytes))
        new = ((name, tensors) for name, tensors in rows if name not in names)
        while (first := next(new, None)) is not None:
            key, before = secrets.token_hex(16), len(names)  # other processes write entries of their own
            with self.store.write(key, shapes, in_shard, {**self.about, "seconds": 0.0}) as writer:
                for name, tensors in chain([first], islice(new, in_shard - 1)):
                    writer.put(len(names) - before, (*(tensor[None] for tensor in tensors), named([name])))
                    names[name] = None
                writer.cut(len(names) - before)
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
        asked = WantedNames(names)
        return sorted({value for value, rows in glanced if rows is not None and asked.are_among(rows)})

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


def named(names: Sequence[bytes]) -> torch.Tensor:
    """Names as a tensor [rows, 32]."""
    return torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8).view(-1, 32)


def _unnamed(rows: Rows) -> Rows:
    return Rows(rows.tensors[:-1], rows.file)
