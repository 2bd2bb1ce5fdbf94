"""How heads that train side by side do: in training, counted of many steps at once, and on validation images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ft.extension.tasks import Loss
from ft.job import Job
from ft.task.chosen import ChosenTask, Count
from ft.task.tally import TOGETHER
from ft.training.feature_feed import FeatureFeed
from ft.training.heads import Heads

KEPT = 2**24
"""Outputs of training steps that are kept until an epoch is over."""


@dataclass
class HeadTally:
    """Knows of each head the loss of the images of training steps, as it was then, and what the task counts of them. A
    loss is that of many steps' images together, each of which counts by its weight.

    What was answered is kept, and summed up for the heads that somebody asks about; of all of them where it becomes too
    much to keep.
    """

    loss: Loss
    count: Count | None
    heads: int
    seen: int = 0
    _losses: list[float] = field(init=False)
    _counts: list[float] = field(init=False)
    _outputs: list[torch.Tensor] = field(default_factory=list)
    _targets: list[torch.Tensor] = field(default_factory=list)
    _size: int = 0

    def __post_init__(self) -> None:
        self._losses, self._counts = [0.0] * self.heads, [0.0] * self.heads

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take a step's outputs [N, H, K] and targets [N, ...]."""
        self._outputs.append(outputs)
        self._targets.append(targets)
        self.seen += len(targets)
        self._size += outputs.numel()
        if self._size >= KEPT:
            for head in range(self.heads):
                self._losses[head], self._counts[head] = self.sums(head)
            self._outputs, self._targets, self._size = [], [], 0

    def sums(self, head: int) -> tuple[float, float]:
        """The sum of a head's losses over all images, and that of what is counted."""
        loss, counted = self._losses[head], self._counts[head]
        if self._outputs:
            outputs, targets = torch.cat([each[:, head] for each in self._outputs]), torch.cat(self._targets)
            loss += float(self.loss(outputs, targets)) * len(targets)
            if self.count is not None:
                counted += float(self.count(outputs, targets).double().sum())
        return loss, counted


def figures_of_heads(heads: Heads, feed: FeatureFeed, task: ChosenTask, job: Job) -> list[Mapping[str, float]]:
    """The figures of each head on the validation images; none of one that gives no numbers."""
    meters = [task.meter(job.data.space) if finite else None for finite in heads.finite()]
    kept, labels, size = list[torch.Tensor](), list[torch.Tensor](), 0

    def settle() -> None:
        together, targets = torch.cat(kept).transpose(0, 1).contiguous(), torch.cat(labels)
        for outputs, meter in zip(together, meters, strict=True):
            if meter is not None:
                meter.add(outputs, targets)
        kept.clear()
        labels.clear()

    for inputs, targets in feed.validation_inputs():
        with torch.no_grad(), job.machine.autocast():
            outputs = heads(feed.entering(inputs))
        kept.append(outputs.float().cpu())
        labels.append(targets)
        size += outputs.numel()
        if size >= TOGETHER * len(heads):
            settle()
            size = 0
    if kept:
        settle()
    found = [{} if meter is None else meter.figures() for meter in meters]
    return [figures if all(map(math.isfinite, figures.values())) else {} for figures in found]
