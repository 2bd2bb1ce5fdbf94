"""`sgd`: stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class SGDSettings(Settings):
    momentum: float = Field(0.9, ge=0, lt=1, description="how slowly the mean of the gradients forgets; 0: none")
    nesterov: bool = Field(True, description="look a step ahead, as Nesterov does")


def build(groups: list[dict[str, Any]], settings: SGDSettings) -> torch.optim.Optimizer:
    """Steps by the mean gradient (Sutskever et al. 2013 for the momentum)."""
    import torch

    divided = any(hasattr(parameter, "full_tensor") for group in groups for parameter in group["params"])
    return torch.optim.SGD(
        groups,
        lr=0.0,
        momentum=settings.momentum,
        nesterov=settings.nesterov and settings.momentum > 0,
        fused=not divided,  # torch's fused SGD steps no tensors of which processes hold parts
    )


def state(settings: SGDSettings) -> float:
    """A mean, where there is momentum."""
    return float(settings.momentum > 0)
