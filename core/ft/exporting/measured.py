"""An exported model measured as a run's is; without torch, where the meter of its task takes arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft.data.load import Item
from ft.data.targets import target_array
from ft.errors import FtError
from ft.exporting.used import Exported
from ft.inference.measure import Measurable
from ft.machine.display import Display


def as_measurable(exported: Exported) -> Measurable:
    """An exported model as it is measured."""
    task = exported.task

    @contextmanager
    def outputs(items: Sequence[Item], display: Display) -> Iterator[Iterator[Any]]:
        batches = _outputs(exported, items, display)
        yield batches if task.measures_arrays else _as_tensors(batches)

    about = (exported.space, exported.preprocessing, exported.image_list, exported.split)
    return Measurable(task, *about, outputs, arrays=task.measures_arrays)


def _outputs(
    exported: Exported, items: Sequence[Item], display: Display
) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
    """Yield the outputs and targets of images. Raises FtError for one without."""
    done = 0
    for some in exported.outputs_or_why([item.picture for item in items], display):
        rows: list[NDArray[np.float32]] = []
        for row in some:
            if isinstance(row, str):
                raise FtError(row)
            rows.append(row)
        yield np.stack(rows), target_array(items[done : done + len(some)])
        done += len(some)


def _as_tensors(batches: Iterator[tuple[NDArray[Any], NDArray[Any]]]) -> Iterator[Any]:
    import torch

    return ((torch.from_numpy(outputs), torch.from_numpy(targets)) for outputs, targets in batches)
