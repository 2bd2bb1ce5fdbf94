"""`before-head`: a linear layer on normalised features, after dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ft
from pydantic import Field

if TYPE_CHECKING:
    from torch import nn


class Settings(ft.Settings):
    dropout: float = Field(0.2, ge=0, lt=1, description="share of the features left out while training")


def build(feature_dim: int, num_classes: int, settings: Settings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes]. Weights are drawn from torch's generator, which ft has seeded."""
    from torch import nn  # here, so that listing plugins stays quick

    return nn.Sequential(
        nn.LayerNorm(feature_dim),
        nn.Dropout(settings.dropout),
        nn.Linear(feature_dim, num_classes),
    )
