"""How well logits fit labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import cross_entropy

from ft.metrics import Evaluation, count_confusion, summarise


def evaluate(batches: Iterable[tuple[torch.Tensor, torch.Tensor]], classes: Sequence[str]) -> Evaluation:
    """Sum up batches of (logits [N, C], labels [N]) on the CPU."""
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    loss_sum, count = 0.0, 0
    for logits, labels in batches:
        loss_sum += float(cross_entropy(logits, labels, reduction="sum"))
        confusion += count_confusion(logits.argmax(1), labels, len(classes))
        count += len(labels)
    return summarise(confusion, loss_sum / max(1, count), classes)
