"""`nadam`: AdamW that looks a step ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class NAdamSettings(Settings):
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="how slowly the means of the gradient and of its square forget"
    )
    eps: float = Field(1e-8, gt=0, description="added to the divisor")
    momentum_decay: float = Field(4e-3, ge=0, description="how fast the momentum grows to the first of the betas")


def build(groups: list[dict[str, Any]], settings: NAdamSettings) -> torch.optim.Optimizer:
    """Adam with Nesterov momentum (Dozat 2016), and weight decay as in AdamW."""
    import torch

    return torch.optim.NAdam(
        groups,
        betas=settings.betas,
        eps=settings.eps,
        momentum_decay=settings.momentum_decay,
        decoupled_weight_decay=True,
    )


def state(settings: NAdamSettings) -> float:
    """A mean and a mean square."""
    return 2.0
