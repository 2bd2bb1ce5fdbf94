"""How well logits fit labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import cross_entropy

from ft.task.metrics import Answers, Evaluation, Figures, figures, summarise

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
"""Logits [N, C] and labels [N], on the CPU."""


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
