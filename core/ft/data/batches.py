"""Batches of decoded images, as loader processes make them and hand them over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ft.data.dataset import ImageDataset
from ft.data.image_failures import MachineFailed
from ft.errors import FtError

Batch = tuple[Tensor, Tensor, Tensor]
"""Images [N, 3, S, S] in uint8, targets [N, ...], indices into the dataset [N]."""

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""The same as arrays."""

Unread = Callable[[int, str], object]
"""Is told the index of an image that cannot be read, and why."""

Made = tuple[Batch | Arrays | None, dict[int, str]]
"""A batch of what can be read, None where nothing can, and why the others cannot, by their indices."""


class Batches(Dataset[Made | FtError]):
    """Batches by (epoch, indices), and why images that are left out of them cannot be read; an FtError is handed over,
    because torch would add a traceback.
    """

    def __init__(self, dataset: ImageDataset, leave_out: bool) -> None:
        self.dataset, self.leave_out = dataset, leave_out

    def __getitem__(self, key: tuple[int, list[int]]) -> Made | FtError:
        epoch, indices = key
        samples, reasons = [], {}
        for index in indices:
            try:
                samples.append(self.dataset[epoch, index])
            except FtError as error:
                if not self.leave_out or isinstance(error, MachineFailed):
                    return FtError(str(error))
                reasons[index] = str(error)
        return (_together(samples) if samples else None), reasons


def _together(samples: list[tuple[Tensor, Any, int]]) -> Batch | Arrays:
    """A process hands tensors over in shared memory. Where that is full (Docker gives 64 MB), it hands over arrays."""
    images, targets, indices = zip(*samples, strict=True)
    try:
        return default_collate(list(images)), torch.tensor(targets), torch.tensor(indices)
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        return np.stack([image.numpy() for image in images]), torch.tensor(targets).numpy(), np.array(indices)
