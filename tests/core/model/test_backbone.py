from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from ft import Backbone, BackboneProvider, FtError, Settings, Stage
from ft.extension.installed import Component, Plugin, Plugins
from ft.extension.kinds import KINDS
from ft.model.backbone import construct
from ft.model.inspection import inspect_model


class Reading(nn.Module):
    """A network whose code does `in_init` when it is built and `in_forward` with its features."""

    def __init__(self, in_init: Callable[[nn.Module], Any], in_forward: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 10)
        self.in_forward = in_forward
        in_init(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images).mean((2, 3))
        self.in_forward(features)
        return self.fc(features)


def nothing(_: Any) -> None:
    """Needs no values."""


def read_statistics(module: nn.Module) -> None:
    module.register_buffer("mean", torch.from_numpy(numpy.ones((1, 3, 1, 1), numpy.float32)))


NEEDS_VALUES: dict[str, tuple[Callable[[nn.Module], Any], Callable[[torch.Tensor], Any]]] = {
    "item": (lambda _: [rate.item() for rate in torch.linspace(0, 0.1, 3)], nothing),
    "tolist": (lambda _: torch.linspace(0, 0.1, 3).tolist(), nothing),
    "numpy": (lambda _: torch.linspace(0, 0.1, 3).numpy(), nothing),
    "a decision": (lambda _: 1 if torch.ones(2).sum() > 1 else 2, nothing),
    "tensors of its own": (read_statistics, nothing),
    "item when it runs": (nothing, lambda features: features.sum().item()),
    "a decision when it runs": (nothing, lambda features: 1 if features.sum() > 1 else 2),
}


def provider(**networks: Callable[[], nn.Module]) -> Component:
    def build(name: str, settings: Settings) -> Backbone:
        return Backbone(networks[name](), ("fc",), (Stage("stem", ("stem",)),), feature_dim=4)

    record = BackboneProvider("own", "Own", models=lambda settings: list(networks), build=build)
    return Component(KINDS["backbone"], record, "own-networks", "1.0")


def built(network: Callable[[], nn.Module], values: bool = False) -> Backbone:
    return construct(provider(net=network), "net", Settings(), seed=3, values=values)


@pytest.mark.parametrize("what", NEEDS_VALUES)
def test_a_network_whose_code_needs_values_is_built_with_values(what: str) -> None:
    backbone = built(lambda: Reading(*NEEDS_VALUES[what]))
    wanted = built(lambda: Reading(*NEEDS_VALUES[what]), values=True)
    assert all(torch.equal(one, backbone.module.state_dict()[n]) for n, one in wanted.module.state_dict().items())


def test_a_network_that_does_without_values_takes_no_memory_and_keeps_its_modes() -> None:
    def partly_still() -> nn.Module:
        module = Reading(nothing, nothing)
        module.stem.eval()
        return module

    module = built(partly_still).module
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    assert [part.training for part in module.modules()] == [True, False, True]


def test_what_else_is_wrong_with_a_network_is_raised_as_it_is() -> None:
    def broken() -> nn.Module:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        built(broken)


def test_what_a_provider_refuses_is_not_tried_again() -> None:
    tried = []

    def refused() -> nn.Module:
        tried.append(1)
        raise FtError("no such thing")

    with pytest.raises(FtError, match="no such thing"):
        built(refused)
    assert len(tried) == 1


@pytest.mark.parametrize("values", [True, False])
def test_what_is_no_backbone_is_told_with_its_distribution(values: bool) -> None:
    record = BackboneProvider("own", "Own", models=lambda _: ["net"], build=lambda name, _: nn.Linear(1, 1))
    component = Component(KINDS["backbone"], record, "own-networks", "1.0")
    with pytest.raises(FtError, match=r"'own' of own-networks 1\.0 built a Linear for net; build has to"):
        construct(component, "net", Settings(), seed=0, values=values)


def test_a_network_that_needs_values_can_be_shown() -> None:
    component = provider(net=lambda: Reading(*NEEDS_VALUES["item"]))
    plugins = Plugins((Plugin("own", "own", "own-networks", "1.0", "ok", components=(component,)),))
    assert inspect_model("own:net", plugins)["numel"] == 3 * 4 * 9 + 4 + 4 * 10 + 10
