"""`mlp`: hidden layers, each after normalisation and dropout, then a linear layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ft import Settings

if TYPE_CHECKING:
    from torch import nn


class MlpSettings(Settings):
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field((512,), description="widths of the hidden layers")
    dropout: float = Field(0.5, ge=0, lt=1, description="before the last layer; half of it before each hidden layer")
    norm: Literal["batch", "layer", "none"] = Field("batch", description="normalisation before every layer")


def build(feature_dim: int, num_classes: int, settings: MlpSettings) -> nn.Module:
    """[N, feature_dim] to [N, num_classes]; the order of layers and the defaults are fastai's (Howard & Gugger 2020).

    As there, a layer after a normalisation has no bias, for the normalisation has one.
    """
    from torch import nn

    norms: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
    return nn.Sequential(*_layers(feature_dim, num_classes, settings, norms.get(settings.norm), nn.Linear))


def build_map(feature_dim: int, num_classes: int, settings: MlpSettings) -> nn.Module:
    """[N, feature_dim, H, W] to [N, num_classes, H, W]: the same layers at every position."""
    from torch import nn
    from torchvision.models.convnext import LayerNorm2d

    norms: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "layer": LayerNorm2d}

    def convolution(width: int, next_width: int, bias: bool) -> nn.Module:
        return nn.Conv2d(width, next_width, kernel_size=1, bias=bias)

    return nn.Sequential(*_layers(feature_dim, num_classes, settings, norms.get(settings.norm), convolution))


def _layers(
    feature_dim: int,
    num_classes: int,
    settings: MlpSettings,
    norm: Callable[[int], nn.Module] | None,
    layer: Callable[[int, int, bool], nn.Module],
) -> Iterator[nn.Module]:
    from torch import nn

    pairs = list(pairwise((feature_dim, *settings.hidden, num_classes)))
    for index, (width, next_width) in enumerate(pairs, start=1):
        last = index == len(pairs)
        if norm:
            yield norm(width)
        if settings.dropout:
            yield nn.Dropout(settings.dropout if last else settings.dropout / 2)
        yield layer(width, next_width, norm is None)
        if not last:
            yield nn.ReLU(inplace=True)
