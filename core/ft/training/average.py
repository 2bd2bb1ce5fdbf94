"""An average of what training moves, kept beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from ft.machine.parts import held_here, own_part
from ft.run.checkpoints import check_all_there


class Average:
    """The average of a network's weights, and of the statistics in it that move, over steps or epochs.

    It begins with the values that the tensors named `moving` have. Whole numbers, as the count of batches that
    BatchNorm has seen, have no average. Two names of one tensor have one.
    """

    def __init__(self, module: nn.Module, moving: Collection[str]) -> None:
        named = chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
        own = {name: tensor for name, tensor in named if name in moving and tensor.is_floating_point()}
        first = {id(tensor): name for name, tensor in reversed(own.items())}
        self._first = {name: first[id(tensor)] for name, tensor in own.items()}
        self._own = {name: own[name].detach() for name in first.values()}
        self._averages = {name: tensor.clone() for name, tensor in self._own.items()}

    def restore(self, kept: Mapping[str, Tensor], path: Path) -> None:
        """Begin with what a checkpoint kept; where that is nothing, as when the average is yet to begin, with the
        tensors as they are now. Raises FtError where it kept less."""
        if kept:
            check_all_there(self._first, kept, path)
        _copy(self._averages, kept or self._own)

    def add(self, share: float) -> None:
        """Take the tensors as they are now into the average, of which they become this share."""
        averages, own = (list(map(held_here, held.values())) for held in (self._averages, self._own))
        torch._foreach_lerp_(averages, own, share)

    def state(self) -> dict[str, Tensor]:
        """The average by all names of its tensors, which `add` goes on to change."""
        return {name: self._averages[first] for name, first in self._first.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A block in which the network has the average in place of its own values, which it has again afterwards."""
        own = {name: tensor.clone() for name, tensor in self._own.items()}
        _copy(self._own, self._averages)
        try:
            yield
        finally:
            _copy(self._own, own)


def ema_share(decay: float, steps: int) -> float:
    """What the weights after a step count in an exponential moving average, so many `steps` after it began.

    The decay grows from 0.1 to what it is to be, min(decay, (1 + steps) / (10 + steps)): else the first weights, which
    are no good, would be in it for long (TensorFlow's ExponentialMovingAverage with num_updates).
    """
    return 1 - min(decay, (1 + steps) / (10 + steps))


@torch.no_grad()
def _copy(to: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in to.items():
        tensor.copy_(own_part(values[name], tensor))
