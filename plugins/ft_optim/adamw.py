"""`adamw`: the usual one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class AdamWSettings(Settings):
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.999), description="how slowly the means of the gradient and of its square forget"
    )
    eps: float = Field(1e-8, gt=0, description="added to the divisor")


def build(groups: list[dict[str, Any]], settings: AdamWSettings) -> torch.optim.Optimizer:
    """Steps by the mean gradient over the root of its mean square (Loshchilov & Hutter 2019, algorithm 2)."""
    import torch

    return torch.optim.AdamW(groups, lr=0.0, betas=settings.betas, eps=settings.eps, fused=True)


def state(settings: AdamWSettings) -> float:
    """A mean and a mean square."""
    return 2.0
