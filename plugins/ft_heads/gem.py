"""`gem`: generalised-mean pooling of the last feature map, then a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    from torch import nn


class GemSettings(Settings):
    p: float = Field(3.0, ge=1, le=100, description="exponent: 1 is the average, and more is nearer to the maximum")
    learn_p: bool = Field(True, description="train the exponent, too")


def build(feature_dim: int, num_classes: int, settings: GemSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes], initialised as torch does."""
    from torch import nn

    return nn.Linear(feature_dim, num_classes)


def build_pool(feature_dim: int, settings: GemSettings) -> nn.Module:
    """[N, feature_dim, H, W] to [N, feature_dim, 1, 1], with one exponent (Radenović et al. 2019, section 3.2)."""
    from ft_heads.layers import GeneralisedMean

    return GeneralisedMean(settings.p, settings.learn_p)
