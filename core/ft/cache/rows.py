"""Tensors of which one row belongs to one image: how they lie in a file, and how rows are read from there."""

from __future__ import annotations

import json
import mmap
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import torch

from ft.prefix.records import DTYPES, Tensors


@dataclass(frozen=True)
class Shape:
    """One kept tensor: its shape for one image, and its type's name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * DTYPES[self.dtype][1].itemsize


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

    def __len__(self) -> int:
        return len(self.row)

    def take(self, rows: torch.Tensor | Sequence[int]) -> Tensors:
        """Copy the rows of these numbers."""
        numbers = torch.as_tensor(rows)
        part, row = self.part[numbers], self.row[numbers]
        used: list[int] = torch.unique(part).tolist()
        if len(used) == 1:
            (only,) = used
            return self.parts[only].take(row)
        taken: Tensors = tuple(tensor.new_empty(len(row), *tensor.shape[1:]) for tensor in self.parts[0].tensors)
        for number in used:
            places = part == number
            for whole, some in zip(taken, self.parts[number].take(row[places]), strict=True):
                whole[places] = some
        return taken

    def in_memory(self) -> Rows:
        """A copy that is not mapped."""
        return Rows(self.take(torch.arange(len(self))))


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
