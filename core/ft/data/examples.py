"""Labelled training images for whoever decides by looking at some: a freezing strategy that needs data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ft.config.schema import Config
from ft.data.dataset import ImageDataset
from ft.data.load import ImageData
from ft.data.order import epoch_batches
from ft.data.targets import targets_of
from ft.data.transforms import eval_transform, network_input
from ft.extension.records import Preprocessing
from ft.extension.tasks import Loss
from ft.machine.devices import Machine


@dataclass(frozen=True, eq=False)
class Examples:
    """Batches (images [N, 3, S, S], targets [N, ...]) on the machine's device, decoded when they are asked for.

    The images are those of the training set, as evaluation sees them, in the order of the first epoch. Iterating again
    gives them again.
    """

    data: ImageData
    preprocessing: Preprocessing
    config: Config
    machine: Machine

    def loss(self) -> Loss:
        """What training will minimise, of the network's outputs for them and their targets."""
        data = self.data
        return data.task.loss(data.space, targets_of(data.train).to(self.machine.device))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        dataset = ImageDataset(self.data.train, eval_transform(self.preprocessing), seed=None)
        for batch in epoch_batches(len(dataset), self.config.training.batch_size, self.config.seed, 0, shuffle=True):
            images = torch.stack([dataset[0, index][0] for index in batch])
            targets = targets_of([self.data.train[index] for index in batch])
            yield network_input(images, self.preprocessing, self.machine), targets.to(self.machine.device)
