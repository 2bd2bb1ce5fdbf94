"""multilabel: binary cross-entropy over the labels that are known, and how many of them training answers rightly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ft import LabelSpace
from ft_tasks.multilabel import MultilabelSettings

_MOST_WEIGHT = 10.0


@dataclass(frozen=True, eq=False)
class BinaryCrossEntropy:
    """The mean over all known labels of a batch; `positive_weights` [K] are what an image counts for a label it has.

    An image weighs as many times as labels of it are known.
    """

    positive_weights: Tensor | None = None
    shift_invariant: ClassVar[bool] = False
    torch_only: ClassVar[bool] = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        known = ~targets.isnan()
        weights = None if self.positive_weights is None else self.positive_weights.to(outputs)
        total = binary_cross_entropy_with_logits(
            outputs,
            targets.nan_to_num(0.0).to(outputs.dtype),
            weight=known.to(outputs.dtype),
            pos_weight=weights,
            reduction="sum",
        )
        return total / known.sum().clamp(min=1)

    def weight(self, targets: Tensor) -> float:
        return float(targets.isnan().logical_not().sum())

    def curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p(1 - p) of each label, averaged over labels; an answer that is wrong beyond doubt has none, but will have
        some on the way to the minimum, and gets its squared residual where that is larger."""
        known, shares = ~targets.isnan(), torch.sigmoid(outputs)
        expected = targets.nan_to_num(0.0).to(outputs.dtype)
        bends = torch.maximum(shares * (1 - shares), (shares - expected).square()) * known
        if self.positive_weights is not None:
            bends = bends * (1 + (self.positive_weights.to(outputs) - 1) * expected)
        return bends.mean(1).clamp(min=1e-8) / known.sum().clamp(min=1)


def make_loss(space: LabelSpace, settings: MultilabelSettings, targets: Tensor) -> BinaryCrossEntropy:
    """The loss of images with these targets [N, K]."""
    if settings.positive_weights == "none":
        return BinaryCrossEntropy()
    positive, negative = (targets == 1).sum(0), (targets == 0).sum(0)
    ratio = negative.double() / positive.clamp(min=1)
    most = settings.most_weight or _MOST_WEIGHT
    return BinaryCrossEntropy(ratio.clamp(1 / most, most).float())


def tally(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """The share [N] of each image's known labels that are answered rightly at even odds; 1 where none is known."""
    known = ~targets.isnan()
    wrong = ((outputs > 0) != (targets > 0.5)) & known
    return 1 - wrong.sum(1) / known.sum(1).clamp(min=1)
