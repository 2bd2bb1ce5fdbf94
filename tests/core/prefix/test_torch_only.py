from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from ft.prefix.graph import to_graph
from ft.prefix.torch_only import torch_only


class Mine(nn.Linear):
    """A class of one's own, even one that does nothing."""


@fx.wrap  # type: ignore[misc]
def wrapped(x: torch.Tensor) -> torch.Tensor:
    return x


class Wrapped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return wrapped(x)  # type: ignore[no-any-return]


class Plain(nn.Module):
    """Python code that a trace leaves behind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(nn.functional.gelu(x).mul(2) + x.sigmoid(), 1)


def halved(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x) / 2


def half(*layers: nn.Module) -> fx.GraphModule:
    module = nn.Sequential(nn.Flatten(), *layers)
    return to_graph(module, torch.zeros(2, 3, 2, 2)).module


def changed(change: Callable[[nn.Linear], object]) -> nn.Linear:
    layer = nn.Linear(12, 12)
    change(layer)
    return layer


OWN: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(12, 3),
    "head": lambda: nn.Sequential(nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 12), nn.ReLU(inplace=True)),
    "attention": lambda: nn.TransformerEncoderLayer(12, 2, batch_first=True),
    "attention with another of torch's functions": lambda: nn.TransformerEncoderLayer(12, 2, activation=torch.tanh),
    "traced": Plain,
}
FOREIGN: dict[str, Callable[[], nn.Module]] = {
    "a forward of its own": lambda: changed(lambda layer: setattr(layer, "forward", lambda x: x)),
    "a function that a layer was given": lambda: nn.TransformerEncoderLayer(12, 2, activation=halved),
    "a hook": lambda: changed(lambda layer: layer.register_forward_hook(lambda *_: None)),
    "a backward hook": lambda: changed(lambda layer: layer.register_full_backward_hook(lambda *_: None)),
    "a hook of a weight": lambda: changed(lambda layer: layer.weight.register_hook(lambda grad: None)),
    "a later hook of a weight": lambda: changed(
        lambda layer: layer.weight.register_post_accumulate_grad_hook(lambda weight: None)
    ),
    "a parametrization": lambda: changed(lambda layer: parametrize.register_parametrization(layer, "weight", Plain())),
    "one of torch's": lambda: changed(weight_norm),
    "a wrapped function": Wrapped,
}


@pytest.mark.parametrize("kind", OWN)
def test_a_half_of_torchs_own_layers_and_functions_runs_only_torch(kind: str) -> None:
    assert torch_only(half(OWN[kind]()))


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_half_in_which_anyone_elses_code_runs_does_not(kind: str) -> None:
    assert not torch_only(half(nn.Linear(12, 12), FOREIGN[kind]()))


def test_a_class_of_ones_own_is_not_torchs_although_it_stays_one_node() -> None:
    class Leaves(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return True

    module = nn.Sequential(Mine(3, 3))
    assert not torch_only(fx.GraphModule(module, Leaves().trace(module)))


def test_a_layer_of_torch_whose_forward_somebody_replaced_is_not_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = half(nn.Linear(12, 3))
    assert torch_only(module)
    monkeypatch.setattr(nn.Linear, "forward", lambda layer, x: x @ layer.weight.T)
    assert not torch_only(module)


def test_where_a_hook_hangs_on_all_modules_nothing_is_torchs_alone() -> None:
    module = half(nn.Linear(12, 3))
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not torch_only(module)
    finally:
        handle.remove()
    assert torch_only(module)
