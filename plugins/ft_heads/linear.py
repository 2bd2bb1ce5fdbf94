"""`linear`: one linear layer, with dropout before it if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    from torch import nn


class LinearSettings(Settings):
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the features dropped in training")
    bias: bool = Field(True, description="add a bias to each class")
    zero_init: bool = Field(False, description="start from zero weights: all classes equally likely at first")


def build(feature_dim: int, num_classes: int, settings: LinearSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes], initialised as torch does."""
    from torch import nn

    return _finish(nn.Linear(feature_dim, num_classes, bias=settings.bias), settings)


def build_map(feature_dim: int, num_classes: int, settings: LinearSettings) -> nn.Module:
    """[N, feature_dim, H, W] to [N, num_classes, H, W]: the same layer at every position, a 1x1 convolution.

    Weights come from a normal distribution with a deviation of 0.01 and biases are 0, as in SqueezeNet's published
    classifier (Iandola et al. 2016, as torchvision has it).
    """
    from torch import nn

    layer = nn.Conv2d(feature_dim, num_classes, kernel_size=1, bias=settings.bias)
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return _finish(layer, settings)


def _finish(layer: nn.Linear | nn.Conv2d, settings: LinearSettings) -> nn.Module:
    from torch import nn

    if settings.zero_init:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return nn.Sequential(nn.Dropout(settings.dropout), layer) if settings.dropout else layer
