"""What the saved model gives for each image of a run that did not train: kept, so that whatever is to be known of its
answers later needs neither the network nor the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ft.run.checkpoints import load_tensors, save_tensors

NAME = "outputs.safetensors"


class Outputs:
    """Keeps the outputs [N, K] of a split while they are counted batch by batch."""

    def __init__(self, images: int, outputs: int) -> None:
        self.kept = torch.empty(images, outputs)
        self._filled = 0

    def passing(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The same batches, in the order of the images."""
        for outputs, targets in batches:
            self.kept[self._filled : self._filled + len(outputs)] = outputs
            self._filled += len(outputs)
            yield outputs, targets


def write_outputs(folder: Path, outputs: Mapping[str, Tensor]) -> None:
    """Publish outputs.safetensors: "val" and, where there are test images, "test", each [N, K] in float32, in the order
    of the split's rows in images.csv."""
    save_tensors(folder / NAME, outputs)


def read_outputs(folder: Path) -> dict[str, Tensor]:
    """Read outputs.safetensors; {} where there is none. Raises FtError where it cannot be read."""
    return load_tensors(folder / NAME) if (folder / NAME).exists() else {}
