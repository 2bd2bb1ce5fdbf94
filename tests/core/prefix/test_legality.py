"""What must be refused, or noticed, when part of a network is to be computed once."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torchvision.ops import StochasticDepth

from ft.prefix.find import FrozenPrefix, find_prefix, split_module
from ft.prefix.legality import written_outside
from ft.prefix.probe import probe_equality
from ft.prefix.records import NoCut, Price

FREE_STORE = Price(bytes_per_s=1e15)


class Net(nn.Module):
    """Three convolutions and a head; whatever `middle` is runs between the second and the third."""

    def __init__(self, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3)
        self.two = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.middle = middle or nn.Identity()
        self.three = nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(self.three(self.middle(self.two(self.one(x)))).mean((2, 3)))


def frozen_net(middle: nn.Module | None = None) -> Net:
    net = Net(middle)
    mode = net.middle.training
    net.train().middle.train(mode)
    for part in (net.one, net.two, net.three):
        part.eval().requires_grad_(False)
    net.middle.requires_grad_(False)
    return net


def find(net: nn.Module, trainable: str = "fc.") -> FrozenPrefix:
    frozen = {name for name, _ in net.named_parameters(remove_duplicate=False) if not name.startswith(trainable)}
    found = find_prefix(net, frozen, (3, 12, 12), FREE_STORE)
    assert not isinstance(found, NoCut)
    return found


def written_by(found: FrozenPrefix) -> list[str | None]:
    """For each tensor that crosses, the node of the rest that would overwrite it."""
    inside = {found.observed.graph.images.name, *found.cut.prefix_nodes}
    return [written_outside(found.observed, tensor.node, inside) for tensor in found.cut.tensors]


def barriers(net: nn.Module, trainable: str = "fc.") -> list[str]:
    found = find(net, trainable)
    assert probe_equality(net, split_module(found), torch.randn(3, 3, 12, 12)) is None
    return [str(barrier) for barrier in found.cut.barriers]


def test_all_before_the_head_is_computed_once() -> None:
    assert barriers(frozen_net()) == ["fc uses the trainable fc.weight: cut moved before it"]


def test_batch_norm_left_in_train_mode_stops_the_prefix() -> None:
    net = frozen_net()
    net.two[1].train()
    assert barriers(net) == ["two.1 updates its statistics: cut moved before it"]


def test_batch_norm_without_running_statistics_stops_the_prefix() -> None:
    net = frozen_net(nn.BatchNorm2d(4, track_running_stats=False).eval())
    assert barriers(net) == ["middle normalises with the statistics of the batch: cut moved before it"]


def test_instance_norm_does_not_stop_the_prefix() -> None:
    assert len(barriers(frozen_net(nn.InstanceNorm2d(4).eval()))) == 1
    assert barriers(frozen_net(nn.InstanceNorm2d(4))) == ["fc uses the trainable fc.weight: cut moved before it"]


def test_a_weight_tied_to_a_trainable_one_stops_the_prefix() -> None:
    net = frozen_net()
    net.middle = nn.Conv2d(4, 4, 3)
    net.middle.weight = nn.Parameter(net.three.weight.detach())
    net.middle.bias.requires_grad_(False)
    assert net.middle.weight is not net.three.weight
    net.three.weight.requires_grad_(True)
    assert barriers(net, trainable=("three.", "fc.")) == [  # type: ignore[arg-type]
        "middle shares the storage of middle.weight with the trainable three.weight: cut moved before it"
    ]


def test_a_parameter_under_two_names_is_trainable_when_one_of_them_is() -> None:
    net = frozen_net()
    net.register_parameter("another", net.three.weight)
    assert barriers(net, trainable=("another", "fc.")) == [  # type: ignore[arg-type]
        "three shares the storage of three.weight with the trainable another: cut moved before it"
    ]


@pytest.mark.parametrize("dropout", [nn.Dropout(0.5), nn.Dropout2d(0.1)])
def test_active_dropout_stops_the_prefix(dropout: nn.Module) -> None:
    assert barriers(frozen_net(dropout)) == ["middle draws random numbers (aten.bernoulli_): cut moved before it"]


def test_stochastic_depth_stops_the_prefix() -> None:
    (barrier,) = barriers(frozen_net(StochasticDepth(0.2, "row")))
    assert "draws random numbers (aten.bernoulli_): cut moved before it" in barrier


@pytest.mark.parametrize("dropout", [nn.Dropout(0.5).eval(), nn.Dropout(0.0)])
def test_inactive_dropout_does_not(dropout: nn.Module) -> None:
    assert barriers(frozen_net(dropout)) == ["fc uses the trainable fc.weight: cut moved before it"]


def test_random_numbers_from_tensors_stop_the_prefix() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    assert barriers(frozen_net(Noise())) == [
        "middle.rand_like draws random numbers (aten.rand_like): cut moved before it"
    ]


class Counting(nn.Module):
    """Does something else the more often it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x / self.calls


class Averaging(nn.Module):
    """Keeps a mean of what it saw, by setting a buffer anew."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean()
        return x


class Listing(nn.Module):
    """Keeps what it saw in a list, by which it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return x / len(self.seen)


class Scaling(nn.Module):
    """Does something else each time, by a number in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.by = {"a": {"scale": 1.0}}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.by["a"]["scale"] *= 2
        self.by["a"]["shape"] = x.shape[2]
        return x * self.by["a"]["scale"]


class Measuring(nn.Module):
    """Keeps what it saw, always the same, and what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.grids: dict[int, torch.Tensor] = {}
        self.sizes: set[int] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.size, self.kind = (x.shape[2], x.shape[3]), "map"
        self.grids[x.shape[2]] = torch.ones(x.shape[2])
        self.sizes.add(x.shape[2])
        self.last = 2 * x
        return self.last


@pytest.mark.parametrize(
    ("layer", "changed"), [(Counting(), "calls"), (Averaging(), "mean"), (Listing(), "seen"), (Scaling(), "by")]
)
def test_a_layer_that_changes_itself_stops_the_prefix(layer: nn.Module, changed: str) -> None:
    net = frozen_net(layer)
    before, content = getattr(layer, changed), copy.copy(getattr(layer, changed))
    assert [str(barrier) for barrier in find(net).cut.barriers] == [
        f"middle changes its own {changed}: cut moved before it"
    ]
    assert getattr(layer, changed) is before
    assert before == content


def test_a_layer_that_only_notes_what_it_saw_does_not() -> None:
    net = frozen_net(Measuring())
    assert [str(barrier) for barrier in find(net).cut.barriers] == [
        "fc uses the trainable fc.weight: cut moved before it"
    ]
    assert not hasattr(net.middle, "last")
    assert not net.middle.grids
    assert not net.middle.sizes


def test_random_numbers_from_python_stop_the_prefix() -> None:
    class Skipped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if random.random() < 0.5 else 2 * x

    found = find(frozen_net(Skipped()))
    assert found.observed.graph.opaque == {"middle": "draws random numbers in Python"}
    assert [str(barrier) for barrier in found.cut.barriers] == [
        "middle draws random numbers (Python): cut moved before it"
    ]


@pytest.mark.parametrize("inside", ["two", "two.0"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"])
def test_a_hook_on_a_frozen_module_stops_the_prefix_and_runs_every_step(inside: str, kind: str) -> None:
    net = frozen_net()
    calls = []
    getattr(net.get_submodule(inside), kind)(lambda *arguments: calls.append(1))
    assert barriers(net) == [f"{inside} has a hook: cut moved before it"]
    halves = split_module(find(net))
    calls.clear()
    halves.suffix(halves.prefix(torch.randn(2, 3, 12, 12)))
    assert len(calls) == (0 if "backward" in kind else 1)  # nothing frozen goes backward


def test_a_hook_on_the_model_itself_means_no_cut() -> None:
    net = frozen_net()
    net.register_forward_hook(lambda *arguments: None)
    assert find_prefix(net, set(), (3, 12, 12)) == NoCut("the model itself has a hook")


def test_a_parametrization_stops_the_prefix() -> None:
    net = frozen_net()
    parametrize.register_parametrization(net.three, "weight", nn.Identity())
    assert barriers(net) == ["three has a parametrization: cut moved before it"]


def test_a_layer_that_counts_its_calls_stops_the_prefix() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls.add_(1)
            return x * self.calls

    assert barriers(frozen_net(Counting())) == [
        "middle.mul reads middle.calls, which middle.add_ changes: cut moved before it"
    ]


def test_what_the_rest_would_overwrite_is_copied_on_its_way_in() -> None:
    net = frozen_net(nn.Sequential(nn.Dropout(0.5, inplace=True)))
    found = find(net)
    assert written_by(found) == ["middle.0"]
    halves = split_module(found)
    (kept,) = halves.prefix(torch.randn(4, 3, 12, 12))
    before = kept.clone()
    halves.suffix((kept,))
    assert torch.equal(kept, before)


class Overwriting(nn.Module):
    """The sum reads what the convolution gave before the rectifier overwrites it; the doubled reads it after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        early = (x + self.scale).sum((1, 2, 3))
        nn.functional.relu(x, inplace=True)
        return torch.stack([early, (x * 2).sum((1, 2, 3))], 1)


def test_an_in_place_operation_waits_for_earlier_readers() -> None:
    net = Overwriting().requires_grad_(False)
    net.scale.requires_grad_(True)
    found = find(net, trainable="scale")
    assert [tensor.path for tensor in found.cut.tensors] == ["conv"]
    assert written_by(found) == ["relu"]
    assert probe_equality(net, split_module(found), torch.randn(3, 3, 12, 12)) is None
