"""An exported model measured as a run's is: by the meters of its task, which are torch's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from ft.data.load import Item
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.exporting.used import Exported
from ft.inference.measure import Measurable
from ft.machine.display import Display
from ft.task.evaluation import Answered


def as_measurable(exported: Exported) -> Measurable:
    """An exported model as it is measured."""

    @contextmanager
    def outputs(items: Sequence[Item], display: Display) -> Iterator[Iterator[Answered]]:
        yield _outputs(exported, items, display)

    return Measurable(
        exported.task, exported.space, exported.preprocessing, exported.image_list, exported.split, outputs
    )


def _outputs(exported: Exported, items: Sequence[Item], display: Display) -> Iterator[Answered]:
    """Yield the outputs and targets of images. Raises FtError for one without."""
    done = 0
    for some in exported.outputs_or_why([item.picture for item in items], display):
        rows: list[NDArray[np.float32]] = []
        for row in some:
            if isinstance(row, str):
                raise FtError(row)
            rows.append(row)
        yield torch.from_numpy(np.stack(rows)), targets_of(items[done : done + len(some)])
        done += len(some)
