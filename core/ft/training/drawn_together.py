"""Random numbers of a batch that several processes share: each image has those that it has where one computes all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def drawn_together(places: Sequence[int], size: int) -> AbstractContextManager[Any]:
    """A block that computes the images at these `places` of a batch of `size`, and in which dropout, stochastic depth
    and their like draw for the whole batch, of which each image gets its own.

    Every process has to draw from the same seed. A tensor counts as one of the batch where its first dimension is as
    many rows an image, as those of a transformer's windows are; any other is drawn alike by all processes. What a GPU's
    attention drops inside its own kernel is drawn by each process for itself.
    """
    return nullcontext() if len(places) == size else _DrawnTogether(places, size)


class _DrawnTogether(TorchDispatchMode):
    def __init__(self, places: Sequence[int], size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places, self._size = torch.tensor(places), size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or not args:
            return func(*args, **kwargs)
        first, *others = args
        if isinstance(first, Sequence) and first and self._is_of_batch(first[0]):  # torch.rand and its like
            whole = func([first[0] // len(self._places) * self._size, *first[1:]], *others, **kwargs)
            return self._own(whole)
        if not isinstance(first, Tensor) or not first.ndim or not self._is_of_batch(len(first)):
            return func(*args, **kwargs)
        beside = [self._spread(each) if isinstance(each, Tensor) and each.ndim else each for each in others]
        drawn = func(self._spread(first), *beside, **kwargs)
        if func._schema.is_mutable:
            return first.copy_(self._own(drawn))
        return tuple(map(self._own, drawn)) if isinstance(drawn, tuple) else self._own(drawn)

    def _is_of_batch(self, rows: int) -> bool:
        return rows > 0 and rows % len(self._places) == 0

    def _spread(self, own: Tensor) -> Tensor:
        """Rows of a tensor in their places of one that is as large as if it were of the whole batch, and lies in memory
        in the same order, in which numbers are drawn."""
        each = len(own) // len(self._places)
        strides = own.stride()
        order = sorted(range(own.ndim), key=lambda dimension: -strides[dimension])
        shape = [self._size * each, *own.shape[1:]]
        whole = own.new_full([shape[dimension] for dimension in order], 0.5 if own.is_floating_point() else 0)
        whole = whole.permute([order.index(dimension) for dimension in range(own.ndim)])
        by_image = whole.unflatten(0, (self._size, each))  # type: ignore[no-untyped-call]
        by_image[self._places] = own.unflatten(0, (len(self._places), each))  # type: ignore[no-untyped-call]
        return whole

    def _own(self, whole: Tensor) -> Tensor:
        by_image = whole.view(self._size, len(whole) // self._size, *whole.shape[1:])
        return by_image[self._places.to(whole.device)].flatten(0, 1)
