"""What is counted in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ft.task.chosen import Count
from ft.task.evaluation import Answered

TOGETHER = 2**16
"""Outputs that are kept until they are counted."""


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
