"""How well logits fit labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import cross_entropy

from ft.task.metrics import Answers, Evaluation, Figures, figures, summarise

Answered = tuple[torch.Tensor, torch.Tensor]
"""Logits [N, C] and labels [N]."""
Batches = Iterable[Answered]
"""Those on the CPU."""
TOGETHER = 2**16
"""Logits that are kept until their right answers are counted."""


class RightAnswers:
    """Counts the right answers of training, those of many steps at once: a head's step is so short that counting what
    it answered would take a tenth of it."""

    def __init__(self) -> None:
        self._kept, self._size = list[Answered](), 0

    def among(self, answers: Sequence[Answered]) -> int:
        """Take a step's answers. Returns how many are right of all that were taken and not counted yet, once they are
        many, and 0 before."""
        self._kept += answers
        self._size += sum(logits.numel() for logits, _ in answers)
        return self.left() if self._size >= TOGETHER else 0

    def left(self) -> int:
        """How many are right of all that were taken and not counted yet."""
        kept, self._kept, self._size = self._kept, [], 0
        if not kept:
            return 0
        logits, labels = map(torch.cat, zip(*kept, strict=True))
        return int(torch.count_nonzero(logits.argmax(1) == labels))


def evaluate(batches: Batches, classes: Sequence[str]) -> Evaluation:
    """Sum up batches in full: in all, for each class, and for each pair of classes."""
    return summarise(_answers(batches), classes)


def figures_of(batches: Batches, num_classes: int) -> Figures:
    """Sum up batches in three numbers, which are the same as in full."""
    return figures(_answers(batches), num_classes)


def _answers(batches: Batches) -> Answers:
    labels, predicted, loss_sum = list[torch.Tensor](), list[torch.Tensor](), 0.0
    for logits, expected in batches:
        loss_sum += float(cross_entropy(logits, expected, reduction="sum"))
        labels.append(expected)
        predicted.append(logits.argmax(1))
    nothing, count = torch.zeros(0, dtype=torch.int64), sum(map(len, labels))
    return Answers(torch.cat([nothing, *labels]), torch.cat([nothing, *predicted]), loss_sum / max(1, count))
