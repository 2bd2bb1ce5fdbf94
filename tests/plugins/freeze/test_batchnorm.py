"""BatchNorm that stays."""

from __future__ import annotations

import pytest
from torch import nn

from backbones import resnet18, small
from ft import Backbone, FtError, Settings, Stage
from ft_freeze.batchnorm import select


def frozen(backbone: Backbone, argument: str | None = None) -> frozenset[str]:
    return select(backbone, argument, Settings())


def test_weights_and_biases_of_layers_that_keep_statistics() -> None:
    assert frozen(small()) == {"stem.1.weight", "stem.1.bias", "layer1.1.weight", "layer1.1.bias"}
    names = {name for name, _ in resnet18().module.named_parameters() if ".bn" in f".{name}" or "downsample.1" in name}
    assert frozen(resnet18()) == names


def test_a_network_without_them_has_nothing_frozen() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    backbone = Backbone(module, ("2",), (Stage("all", ("0", "1")),), feature_dim=4, name="plain")
    assert frozen(backbone) == frozenset()


def test_it_takes_no_argument() -> None:
    with pytest.raises(FtError, match="takes no argument, but got 'layer1'; of some layers it is 'regex:layer1'"):
        frozen(small(), "layer1")
