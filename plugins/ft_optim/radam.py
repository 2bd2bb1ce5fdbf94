"""`radam`: AdamW that needs less of a warm-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class RAdamSettings(Settings):
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="how slowly the means of the gradient and of its square forget"
    )
    eps: float = Field(1e-8, gt=0, description="added to the divisor")


def build(groups: list[dict[str, Any]], settings: RAdamSettings) -> torch.optim.Optimizer:
    """Adam whose first steps are those of SGD with momentum, as long as the mean square is of too few gradients (Liu et
    al. 2020, algorithm 2), and weight decay as in AdamW."""
    import torch

    return torch.optim.RAdam(groups, betas=settings.betas, eps=settings.eps, decoupled_weight_decay=True)


def state(settings: RAdamSettings) -> float:
    """A mean and a mean square."""
    return 2.0
