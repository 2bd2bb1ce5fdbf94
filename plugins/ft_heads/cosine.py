"""`cosine`: classes are directions, and an image belongs to the one that its features point to most nearly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    from torch import nn


class CosineSettings(Settings):
    scale: float = Field(10.0, gt=0, description="factor of the cosines, which without it could not be far apart")
    learn_scale: bool = Field(True, description="train the factor, too")


def build(feature_dim: int, num_classes: int, settings: CosineSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes]: a learned factor times cosines (Gidaris & Komodakis 2018, section 3.2).

    Good with few images a class (Chen et al. 2019, "A closer look at few-shot classification", Baseline++).
    """
    from ft_heads.layers import CosineLinear

    return CosineLinear(feature_dim, num_classes, settings.scale, settings.learn_scale)


def class_rows(head: nn.Module) -> Sequence[str]:
    """The directions; the factor is that of all classes."""
    return ["weight"]
