"""How well outputs fit targets: figures and tables of a split. This loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ft.extension.tasks import Figure, LabelSpace, Meter, Table
from ft.machine.distributed import ALONE, Processes
from ft.task.chosen import LOSS, ChosenTask

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Answered: TypeAlias = "tuple[Tensor, Tensor]"
"""Outputs [N, K] and targets [N, ...]."""
Batches: TypeAlias = "Iterable[Answered]"
"""Those on the CPU."""
ArrayBatches: TypeAlias = "Iterable[tuple[NDArray[Any], NDArray[Any]]]"
"""The same as arrays."""


@dataclass(frozen=True)
class Evaluation:
    """How a model did on one split: its figures by name, and the tables of classes or targets. `about` says what the
    figures are called, the first one being what the task is mainly judged by."""

    figures: Mapping[str, float]
    tables: tuple[Table, ...] = ()
    about: tuple[Figure, ...] = (LOSS,)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def plain(self) -> dict[str, Any]:
        """The same for JSON: each key holds a number, or the rows of a table."""
        return {**self.figures, **{table.name: list(table.rows) for table in self.tables}}


def evaluate(batches: Batches, task: ChosenTask, space: LabelSpace) -> Evaluation:
    """Sum up batches in full."""
    return _in_full(_added(batches, task.meter(space)), task)


def evaluate_arrays(batches: ArrayBatches, task: ChosenTask, space: LabelSpace) -> Evaluation:
    """Sum up batches of arrays in full, without torch, for a task that `measures_arrays`."""
    return _in_full(_added(batches, task.meter(space, arrays=True)), task)


def _in_full(meter: Meter, task: ChosenTask) -> Evaluation:
    figures = meter.figures()
    about = tuple(each for each in task.figures if each.name in figures)
    return Evaluation(figures, tuple(meter.tables()), about)


def figures_of(
    batches: Batches, task: ChosenTask, space: LabelSpace, processes: Processes = ALONE
) -> Mapping[str, float]:
    """Sum up batches in a few numbers, which are the same as in full; those of all `processes`, in each of them."""
    meter = _added(batches, task.meter(space))
    if processes.alone:
        return meter.figures()
    first, *others = processes.gathered(meter)
    for each in others:
        first.merge(each)
    figures: Mapping[str, float] = first.figures()
    return figures


def _added(batches: Iterable[tuple[Any, Any]], meter: Meter) -> Meter:
    for outputs, targets in batches:
        meter.add(outputs, targets)
    return meter
