"""Averages of weights: the mean of all, or of those that go well together (a greedy soup: Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from ft.extension.tasks import Figure
from ft.run.position import merit

Tensors = Mapping[str, Tensor]
K = TypeVar("K")


@dataclass(frozen=True, eq=False)
class Made(Generic[K]):
    """An average `of` so many, its tensors, and its figures on the validation images."""

    of: tuple[K, ...]
    tensors: Tensors
    val: Mapping[str, float]


def greedy_soup(
    ranked: Sequence[tuple[K, Mapping[str, float]]],
    weights: Callable[[K], Tensors],
    measured: Callable[[Sequence[K], Tensors], Made[K]],
    monitor: Figure,
) -> Made[K]:
    """The average of the first, which is the best, and of each further one, from the better to the worse, with which
    the average is no worse on the validation images than without (Wortsman et al. 2022, algorithm 1)."""
    (first, val), *others = ranked
    mean = Mean()
    mean.add(begun := weights(first))
    best = Made((first,), begun, val)
    for each, _ in others:
        with_it = mean.copy()
        with_it.add(weights(each))
        tried = measured((*best.of, each), with_it.tensors())
        if merit(tried.val, monitor) >= merit(best.val, monitor):
            mean, best = with_it, tried
    return best


class Mean:
    """The mean of tensors by name, summed in float64; of whole numbers, the last."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._like: Tensors = {}
        self._count = 0

    def add(self, tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            self._sums[name] = self._sums[name] + tensor.double() if self._count else tensor.double()
        self._like, self._count = tensors, self._count + 1

    def copy(self) -> Mean:
        made = Mean()
        made._sums, made._like, made._count = dict(self._sums), self._like, self._count
        return made

    def tensors(self) -> dict[str, Tensor]:
        return {
            name: (self._sums[name] / self._count).to(like.dtype) if like.is_floating_point() else like
            for name, like in self._like.items()
        }
