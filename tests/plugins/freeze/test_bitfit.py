import pytest
from torch import nn

from backbones import SMALL_NAMES, resnet18, small
from ft import Backbone, FtError, Settings, Stage
from ft_freeze.bitfit import select


def test_biases_and_normalisation_train_and_all_else_is_frozen() -> None:
    frozen = select(small(), None, Settings())
    assert frozen == {"scale", "stem.0.weight", "layer1.0.weight", "layer2.0.weight"}
    assert set(SMALL_NAMES) - frozen == {
        *("stem.1.weight", "stem.1.bias", "layer1.0.bias", "layer1.1.weight", "layer1.1.bias", "layer2.0.bias")
    }


def test_in_resnet18_the_convolutions_are_frozen() -> None:
    backbone = resnet18()
    frozen = select(backbone, None, Settings())
    assert {backbone.module.get_parameter(name).ndim for name in frozen} == {4}
    assert len(frozen) == 20


def test_an_argument_is_told() -> None:
    with pytest.raises(FtError, match="'bitfit' takes no argument, but got 'norm'"):
        select(small(), "norm", Settings())


def test_a_backbone_without_biases_and_normalisation_is_told() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    backbone = Backbone(module, ("3",), (Stage("conv", ("0",)),), feature_dim=4, name="bare")
    with pytest.raises(FtError, match="bare has neither biases nor normalisation to train; 'all' freezes"):
        select(backbone, None, Settings())
