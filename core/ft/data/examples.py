"""Labelled training images for whoever decides by looking at some: a freezing strategy that needs data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.utils.data import default_collate

from ft.config.schema import Config
from ft.data.dataset import ImageDataset
from ft.data.load import ImageData
from ft.data.order import epoch_batches
from ft.data.transforms import eval_transform, network_input
from ft.extension.records import Preprocessing
from ft.machine.devices import Machine


@dataclass(frozen=True, eq=False)
class Examples:
    """Batches (images [N, 3, S, S], labels [N]) on the machine's device, decoded when they are asked for.

    The images are those of the training set, as evaluation sees them, in the order of the first epoch. Iterating again
    gives them again.
    """

    data: ImageData
    preprocessing: Preprocessing
    config: Config
    machine: Machine

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        dataset = ImageDataset(self.data.train, eval_transform(self.preprocessing), seed=None)
        for batch in epoch_batches(len(dataset), self.config.training.batch_size, self.config.seed, 0, shuffle=True):
            images, labels, _ = default_collate([dataset[0, index] for index in batch])
            yield network_input(images, self.preprocessing, self.machine), labels.to(self.machine.device)
