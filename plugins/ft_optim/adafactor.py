"""`adafactor`: keeps sums by row and by column where others keep a value for each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class AdafactorSettings(Settings):
    beta2_decay: float = Field(-0.8, lt=0, description="power of the step with which the mean square forgets less")
    largest: float = Field(1.0, gt=0, description="root mean square of an update from which it is scaled down")


def build(groups: list[dict[str, Any]], settings: AdafactorSettings) -> torch.optim.Optimizer:
    """Steps of a share `lr` of a weight tensor's own size (Shazeer & Stern 2018, algorithms 4 and 5, no momentum).

    A tensor of two dimensions or more has a mean square for each row and each column of its last two.
    """
    import torch

    return torch.optim.Adafactor(groups, beta2_decay=settings.beta2_decay, d=settings.largest)
