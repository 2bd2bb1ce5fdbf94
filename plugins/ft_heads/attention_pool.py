"""`attention-pool`: attention pooling of the last feature map, then a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ft import FtError, Settings

if TYPE_CHECKING:
    from torch import nn


class AttentionPoolSettings(Settings):
    heads: int = Field(1, ge=1, description="each weighs the positions for its own share of the features")


def build(feature_dim: int, num_classes: int, settings: AttentionPoolSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes], initialised as torch does."""
    from torch import nn

    return nn.Linear(feature_dim, num_classes)


def build_pool(feature_dim: int, settings: AttentionPoolSettings) -> nn.Module:
    """[N, feature_dim, H, W] to [N, feature_dim, 1, 1]: a learned weighting of positions, which starts as the average.

    Ilse et al. 2018, "Attention-based deep multiple instance learning", section 2.4, with the positions as instances
    and linear scores. Raises FtError when the heads do not divide the features.
    """
    from ft_heads.layers import AttentionPool

    if feature_dim % settings.heads:
        near = max(n for n in range(1, settings.heads) if feature_dim % n == 0)
        raise FtError(f"{settings.heads} heads cannot share {feature_dim} features; use --set head.heads={near}")
    return AttentionPool(feature_dim, settings.heads)
