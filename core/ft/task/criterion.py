"""The loss of single-label classification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ft.config.training import TrainingConfig
from ft.machine.devices import Machine


@dataclass(frozen=True, eq=False)
class Criterion:
    """Cross-entropy of logits [N, C] and labels [N]: their mean, in which each image counts as its class weighs."""

    class_weights: torch.Tensor | None
    label_smoothing: float

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels, self.class_weights, label_smoothing=self.label_smoothing)

    def weight(self, labels: torch.Tensor) -> float:
        """What images with these labels weigh together."""
        return len(labels) if self.class_weights is None else float(self.class_weights[labels].sum())


def total_loss(
    outputs: Any, labels: torch.Tensor, criterion: Criterion, aux_weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The classifier's loss plus `aux_weight` times each auxiliary classifier's, and the classifier's logits [N, C].

    Auxiliary classifiers answer in train mode only: Szegedy et al. 2015, section 5 (GoogLeNet, 0.3) and 2016,
    section 4 (Inception v3, 0.4).
    """
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = criterion(logits.float(), labels)
    for each in auxiliary:
        loss = loss + aux_weight * criterion(each.float(), labels)
    return loss, logits


def make_criterion(training: TrainingConfig, labels: Sequence[int], num_classes: int, machine: Machine) -> Criterion:
    """The loss that the config asks for, of images that have these labels."""
    weights = None
    if training.class_weights == "balanced":  # as King & Zeng 2001: inversely to how often a class occurs
        counts = torch.bincount(torch.tensor(labels), minlength=num_classes)
        weights = (len(labels) / (num_classes * counts.clamp(min=1))).to(machine.device, torch.float32)
    return Criterion(weights, training.label_smoothing)
