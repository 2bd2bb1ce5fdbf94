"""`muon`: matrices take steps whose directions all count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    import torch


class MuonSettings(Settings):
    momentum: float = Field(0.95, ge=0, lt=1, description="how slowly the mean of a matrix's gradients forgets")
    nesterov: bool = Field(True, description="look a step ahead, as Nesterov does")
    iterations: int = Field(5, ge=1, lt=100, description="Newton-Schulz iterations that even out a matrix's directions")


def build(groups: list[dict[str, Any]], settings: MuonSettings) -> torch.optim.Optimizer:
    """Momentum made orthogonal for parameters of two dimensions (Jordan et al. 2024), AdamW for all others: biases,
    normalisation, and the kernels of convolutions.

    A matrix's step is scaled to the size that AdamW's has (Liu et al. 2025, "Muon is scalable", section 2.2), so both
    take one learning rate and one weight decay.
    """
    from ft_optim.muon_and_adamw import MuonAndAdamW

    return MuonAndAdamW(groups, settings.momentum, settings.nesterov, settings.iterations)
