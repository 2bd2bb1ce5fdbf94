"""regression: half the squared deviation in standard deviations of the targets, or Huber's; and each image's error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from ft import LabelSpace
from ft_tasks.regression import RegressionSettings, straight_from


@dataclass(frozen=True)
class DeviationLoss:
    """The mean over images and targets of half the squared deviation; beyond `delta`, where there is one, the straight
    line that goes on from there (Huber 1964). All images count alike.

    With half the square, and a penalty p, a linear head is the ridge regression of penalty N K p on the sum of squares
    of N images and K targets.
    """

    delta: float | None = None
    shift_invariant: ClassVar[bool] = False
    torch_only: ClassVar[bool] = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        targets = targets.to(outputs.dtype)
        if self.delta is None:
            return mse_loss(outputs, targets) / 2
        return huber_loss(outputs, targets, delta=self.delta)

    def weight(self, targets: Tensor) -> float:
        return float(len(targets))

    def curvature(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """1 for each target. Beyond `delta` the loss is straight, but will bend on the way to the minimum: there it is
        that of the parabola which touches the loss from above, delta / |deviation|."""
        deviations = (outputs - targets.to(outputs.dtype)).abs()
        bends = torch.ones_like(deviations)
        if self.delta is not None:
            bends = (self.delta / deviations.clamp(min=self.delta)).clamp(min=1e-8)
        return bends.mean(1) / (outputs.shape[1] * len(outputs))


def make_loss(space: LabelSpace, settings: RegressionSettings, targets: Tensor | None = None) -> DeviationLoss:
    return DeviationLoss(straight_from(settings))


def tally(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: RegressionSettings) -> Tensor:
    """How far each image's answer is off, in the targets' unit, averaged over targets [N]."""
    deviation = torch.tensor(space.numbers["std"], dtype=torch.float32, device=outputs.device)
    return ((outputs.float() - targets.float()).abs() * deviation).mean(1)
