"""How well outputs fit targets: counted in training, summed up of a split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ft.extension.tasks import Figure, LabelSpace, Meter, Table
from ft.machine.distributed import ALONE, Processes
from ft.task.chosen import LOSS, ChosenTask, Count

Answered = tuple[torch.Tensor, torch.Tensor]
"""Outputs [N, K] and targets [N, ...]."""
Batches = Iterable[Answered]
"""Those on the CPU."""
TOGETHER = 2**16
"""Outputs that are kept until they are counted."""


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


@dataclass
class Tally:
    """Counts something of the images of training steps, those of many steps at once: a head's step is so short that
    counting what it answered would take a tenth of it."""

    count: Count | None
    _kept: list[Answered] = field(default_factory=list)
    _size: int = 0

    def add(self, answers: Sequence[Answered], before: float) -> float:
        """Take a step's answers; return the sum of all that were counted, which was `before`."""
        if self.count is None:
            return before
        self._kept += answers
        self._size += sum(outputs.numel() for outputs, _ in answers)
        return self.settle(before) if self._size >= TOGETHER else before

    def settle(self, before: float) -> float:
        """The sum with all that was taken and not counted yet.

        Values are added one after the other, so that it does not matter how many are counted at once.
        """
        kept, self._kept, self._size = self._kept, [], 0
        if not kept or self.count is None:
            return before
        outputs, targets = map(torch.cat, zip(*kept, strict=True))
        values = self.count(outputs, targets).double().cpu().numpy()
        return float(np.add.accumulate(np.concatenate([[before], values]))[-1])


def tallied(count: Count | None, answers: Answered) -> float:
    """The sum of what is counted of these answers."""
    return Tally(count, [answers]).settle(0.0)


def evaluate(batches: Batches, task: ChosenTask, space: LabelSpace) -> Evaluation:
    """Sum up batches in full."""
    meter = _added(batches, task, space)
    figures = meter.figures()
    about = tuple(each for each in task.figures if each.name in figures)
    return Evaluation(figures, tuple(meter.tables()), about)


def figures_of(
    batches: Batches, task: ChosenTask, space: LabelSpace, processes: Processes = ALONE
) -> Mapping[str, float]:
    """Sum up batches in a few numbers, which are the same as in full; those of all `processes`, in each of them."""
    meter = _added(batches, task, space)
    if processes.alone:
        return meter.figures()
    first, *others = processes.gathered(meter)
    for each in others:
        first.merge(each)
    figures: Mapping[str, float] = first.figures()
    return figures


def _added(batches: Batches, task: ChosenTask, space: LabelSpace) -> Meter:
    meter = task.meter(space)
    for outputs, targets in batches:
        meter.add(outputs, targets)
    return meter
