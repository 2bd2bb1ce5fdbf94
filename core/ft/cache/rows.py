"""Tensors of which one row belongs to one image: how they lie in a file, and how rows are read from there."""

from __future__ import annotations

import json
import math
import mmap
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import torch

from ft.prefix.records import DTYPES, Tensors

_HELD = 4 * 2**20
"""Bytes that are read of several files before they are let go."""
_COPIED_AT_ONCE = 2**14
"""Rows of several files, in their order, which takes memory twice."""


@dataclass(frozen=True)
class Shape:
    """One kept tensor: its shape for one image, and its type's name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype][1].itemsize


@dataclass(frozen=True, eq=False)
class Rows:
    """Tensors [rows, ...], in memory, or mapped from `file`."""

    tensors: Tensors
    file: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self.tensors[0])

    def take(self, rows: torch.Tensor | Sequence[int]) -> Tensors:
        """Copy the rows of these numbers. What was read from the file for that is the system's to keep or to drop."""
        rows = torch.as_tensor(rows)
        taken = tuple(tensor.index_select(0, rows) for tensor in self.tensors)
        self.let_go()
        return taken

    def let_go(self) -> None:
        """Hold nothing of the file any more; whoever reads on gets it back from the system, or from the disk."""
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)

    def in_memory(self) -> Rows:
        """A copy that is not mapped."""
        copied = Rows(tuple(tensor.clone() for tensor in self.tensors))
        self.let_go()
        return copied


@dataclass(frozen=True, eq=False)
class Joined:
    """Rows of several files as if they lay in one: row i is row `row[i]` of `parts[part[i]]`."""

    parts: tuple[Rows, ...]
    part: torch.Tensor
    row: torch.Tensor
    _held: set[int] = field(default_factory=set, init=False)
    _read: list[int] = field(default_factory=lambda: [0], init=False)

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: torch.Tensor | Sequence[int]) -> Tensors:
        """Copy the rows of these numbers, a file after the other."""
        numbers = torch.as_tensor(rows)
        part, order = torch.sort(self.part[numbers])
        row = self.row[numbers[order]]
        used, counts = torch.unique_consecutive(part, return_counts=True)
        if len(used) == 1:
            return self.parts[int(used)].take(self.row[numbers])
        taken: Tensors = tuple(tensor.new_empty(len(row), *tensor.shape[1:]) for tensor in self.parts[0].tensors)
        start = 0
        for number, count in zip(used.tolist(), counts.tolist(), strict=True):
            some = row[start : start + count]
            for whole, tensor in zip(taken, self.parts[number].tensors, strict=True):
                torch.index_select(tensor, 0, some, out=whole[start : start + count])
            start += count
        self._let_go(used.tolist(), sum(map(_size, taken)))
        return tuple(tensor[torch.argsort(order)] for tensor in taken)

    def _let_go(self, used: Sequence[int], size: int) -> None:
        """Hold nothing of the files any more, once so much was read that it is worth asking the system for each."""
        self._held.update(used)
        self._read[0] += size
        if self._read[0] >= _HELD:
            for number in self._held:
                self.parts[number].let_go()
            self._held.clear()
            self._read[0] = 0

    def in_memory(self) -> Rows:
        """A copy that is not mapped."""
        copied: Tensors = tuple(tensor.new_empty(len(self), *tensor.shape[1:]) for tensor in self.parts[0].tensors)
        for start in range(0, len(self), _COPIED_AT_ONCE):
            end = min(len(self), start + _COPIED_AT_ONCE)
            for whole, some in zip(copied, self.take(range(start, end)), strict=True):
                whole[start:end] = some
        return Rows(copied)


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


MOST_ROWS = 10**12


def header(shapes: Sequence[Shape], rows: int) -> bytes:
    """The beginning of a safetensors file of `rows` rows; the tensors follow, one after the other.

    It is equally long for any number of rows, so that a file can be cut.
    """
    text = _fields(shapes, rows).ljust(len(_fields(shapes, MOST_ROWS)))
    text += b" " * (-len(text) % 64)  # rows that begin at round addresses are read faster
    return struct.pack("<Q", len(text)) + text


def starts(shapes: Sequence[Shape], rows: int) -> list[int]:
    """Where each tensor of such a file begins, and the file ends."""
    sizes = [len(header(shapes, rows)), *(shape.row_bytes * rows for shape in shapes)]
    return list(accumulate(sizes))


def _fields(shapes: Sequence[Shape], rows: int) -> bytes:
    fields, end = {}, 0
    for number, shape in enumerate(shapes):
        size = shape.row_bytes * rows
        fields[f"feature{number}"] = {
            "dtype": DTYPES[shape.dtype][0],
            "shape": [rows, *shape.shape],
            "data_offsets": [end, end + size],
        }
        end += size
    return json.dumps(fields).encode()


def whole_size(shapes: Sequence[Shape], rows: int) -> int:
    """Bytes of such a file."""
    return starts(shapes, rows)[-1]


def map_rows(file: BinaryIO, shapes: Sequence[Shape], rows: int) -> Rows:
    """Map the tensors of a file that begins with `header`, to be read only. Raises OSError.

    Memory that could be written to would count against what the system has to give, whether or not it is used.
    """
    if hasattr(mmap, "MAP_PRIVATE"):  # some file systems refuse to share
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    else:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start, tensors = len(header(shapes, rows)), []
    for shape in shapes:
        size = shape.row_bytes * rows
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes
            flat = torch.from_numpy(np.frombuffer(mapped, np.uint8, size, start))
        tensors.append(flat.view(DTYPES[shape.dtype][1]).view(rows, *shape.shape))
        start += size
    return Rows(tuple(tensors), mapped)
