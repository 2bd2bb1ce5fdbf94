"""The losses of classification, cross-entropy and the focal loss; and which training images are answered rightly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from ft import LabelSpace

if TYPE_CHECKING:
    from ft_tasks.classification import ClassificationSettings


def tally(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """Whether the likeliest class is the right one, for each image [N]."""
    return outputs.argmax(1) == targets


@dataclass(frozen=True, eq=False)
class Weighted:
    """What the losses have in common: an image counts as its class weighs; torch's generators are the only ones that
    may be drawn from."""

    class_weights: Tensor | None
    torch_only = True

    def weight(self, targets: Tensor) -> float:
        return (
            len(targets) if self.class_weights is None else float(self.class_weights.to(targets.device)[targets].sum())
        )


@dataclass(frozen=True, eq=False)
class CrossEntropy(Weighted):
    """Of logits [N, C] and classes [N], perhaps with smoothed labels (Szegedy et al. 2016, section 7)."""

    label_smoothing: float = 0.0
    shift_invariant = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(outputs)
        return cross_entropy(outputs, targets, weights, label_smoothing=self.label_smoothing)

    def curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """An image's Hessian by its logits is diag(p) - ppᵀ (Böhning 1992, "Multinomial logistic regression
        algorithm", section 2), whose mean eigenvalue this is, in directions that change the answer.

        An image that is wrong beyond doubt has none, but will have some on the way to the minimum: it gets its squared
        residual instead, where that is larger.
        """
        answers = torch.softmax(outputs, 1)
        classes = answers.shape[1]
        residuals = answers - one_hot(targets, classes)
        spread = torch.maximum(1 - answers.square().sum(1), residuals.square().sum(1)).clamp(min=1e-8)
        shares = torch.ones_like(spread)
        if self.class_weights is not None:
            weights, smoothing = self.class_weights.to(outputs), self.label_smoothing
            shares = (1 - smoothing) * weights[targets] + smoothing * weights.mean()
        return spread * shares / ((classes - 1) * self.weight(targets))


@dataclass(frozen=True, eq=False)
class Focal(Weighted):
    """(1 - p)^gamma times the cross-entropy, p being the probability of the image's class (Lin et al. 2017, "Focal loss
    for dense object detection", section 3.2). It is not convex, so nothing solves for its minimum."""

    gamma: float = 2.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        negative = cross_entropy(outputs, targets, reduction="none")
        each = (1 - torch.exp(-negative)) ** self.gamma * negative
        if self.class_weights is None:
            return each.mean()
        weights = self.class_weights.to(outputs)[targets]
        return (weights * each).sum() / weights.sum()


def make_loss(space: LabelSpace, settings: ClassificationSettings, targets: Tensor) -> CrossEntropy | Focal:
    """The loss that the settings ask for, of training images of these classes [N]."""
    weights = _weights(space, settings, targets)
    if settings.loss == "focal":
        return Focal(weights, 2.0 if settings.gamma is None else settings.gamma)
    return CrossEntropy(weights, settings.label_smoothing)


def _weights(space: LabelSpace, settings: ClassificationSettings, targets: Tensor) -> Tensor | None:
    if isinstance(settings.class_weights, dict):
        return torch.tensor([settings.class_weights.get(name, 1.0) for name in space.names], device=targets.device)
    if settings.class_weights == "none":
        return None
    counts = torch.bincount(
        targets, minlength=len(space.names)
    )  # as King & Zeng 2001: inversely to how often it occurs
    return (len(targets) / (len(space.names) * counts.clamp(min=1))).to(torch.float32)
