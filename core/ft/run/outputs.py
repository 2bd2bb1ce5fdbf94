"""What the saved model gives for each image of a run that did not train: kept, so that whatever is to be known of its
answers later needs neither the network nor the images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ft.machine.files import publish
from ft.run.checkpoints import load_tensors

NAME = "outputs.safetensors"
_SIZE = 4
"""Bytes of a number in float32."""
_ALIGNED = 8
"""Bytes that the header of a safetensors file is a multiple of."""


class Outputs:
    """The outputs of splits, each [N, K] in float32, which go to a file batch by batch and are read from there: of many
    images times many classes memory holds what is looked at, and whatever else the machine has room for."""

    def __init__(self, file: BinaryIO, shapes: Mapping[str, tuple[int, int]]) -> None:
        self._file, self._shapes = file, shapes
        ends = [0, *accumulate(images * outputs * _SIZE for images, outputs in shapes.values())]
        about = {
            name: {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
            for (name, shape), begin, end in zip(shapes.items(), ends, ends[1:], strict=False)
        }
        header = json.dumps(about).encode()
        header += b" " * (-len(header) % _ALIGNED)
        first = file.write(len(header).to_bytes(8, "little") + header)
        self._begins = {name: first + begin for name, begin in zip(shapes, ends, strict=False)}

    def take(self, name: str, batches: Iterable[Tensor]) -> None:
        """Write the outputs of a split, in the order of its images; the splits are taken in the order of the shapes."""
        assert self._file.tell() == self._begins[name], "a split before this one lacks outputs"
        for outputs in batches:
            self._file.write(outputs.float().contiguous().numpy().data)

    def __getitem__(self, name: str) -> Tensor:
        """The outputs of a split that was taken, also after the file has its name."""
        if 0 in self._shapes[name]:
            return torch.empty(self._shapes[name])
        self._file.flush()
        return torch.from_numpy(np.memmap(self._file, np.float32, "c", self._begins[name], self._shapes[name]))


@contextmanager
def writing_outputs(folder: Path, shapes: Mapping[str, tuple[int, int]]) -> Iterator[Outputs]:
    """A block that writes outputs.safetensors, which is there when the block ends: "val" and, where there are test
    images, "test", in the order of the split's rows in images.csv."""
    size = sum(images * outputs * _SIZE for images, outputs in shapes.values())
    with publish(folder / NAME, size=size) as file:
        yield Outputs(file, shapes)


def write_outputs(folder: Path, outputs: Mapping[str, Tensor]) -> None:
    """Publish outputs.safetensors of outputs that are all there."""
    with writing_outputs(folder, {name: (len(each), each.shape[1]) for name, each in outputs.items()}) as writing:
        for name, each in outputs.items():
            writing.take(name, [each])


def read_outputs(folder: Path) -> dict[str, Tensor]:
    """Read outputs.safetensors; {} where there is none. Raises FtError where it cannot be read."""
    return load_tensors(folder / NAME) if (folder / NAME).exists() else {}
