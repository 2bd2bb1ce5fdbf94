"""Networks that cannot be traced from end to end."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from backbones import Tapped
from ft.prefix.find import Conditions, FrozenPrefix, find_prefix, split_module
from ft.prefix.graph import to_graph
from ft.prefix.probe import probe_equality
from ft.prefix.records import NoCut, Price

FREE_STORE = Price(bytes_per_s=1e15)


class Branching(nn.Module):
    """Decides by the values it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) if x.shape[-1] > 4 else x


class Counted(nn.Module):
    """Loops over its images' rows, which torch.fx cannot follow but torch.export can."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(x.shape[-1] // 4):
            x = x * 0.9
        return self.fc(self.body(x).mean((2, 3)))


def test_a_submodule_that_cannot_be_traced_runs_as_it_is() -> None:
    net = nn.Sequential(Branching(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).train()
    net[0].eval().requires_grad_(False)
    found = find_prefix(net, {"0.conv.weight", "0.conv.bias"}, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    assert list(found.observed.graph.opaque) == ["0"]
    assert [tensor.path for tensor in found.cut.tensors] == ["1"]
    assert probe_equality(net, split_module(found), torch.randn(3, 3, 8, 8)) is None


class InFull(nn.Module):
    """Computes in float32, whatever goes on around it."""

    def __init__(self, inner: nn.Module, cast: bool) -> None:
        super().__init__()
        self.inner, self.cast = inner, cast

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.inner(x.float() if self.cast else x)


@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("whole", [False, True], ids=["head", "whole"])
def test_a_layer_that_switches_autocast_off_computes_without_it(whole: bool, cast: bool) -> None:
    def bf16() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    layer = nn.Conv2d(3, 3, 1) if cast else nn.BatchNorm2d(3)  # which autocast lets compute in float32
    body, head = nn.Sequential(layer.eval(), nn.ReLU(), nn.Flatten()), nn.Linear(3 * 8 * 8, 2)
    net = InFull(nn.Sequential(body, head), cast) if whole else nn.Sequential(body, InFull(head, cast))
    frozen = {name for name, parameter in net.named_parameters() if parameter not in set(head.parameters())}
    body.requires_grad_(False)
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE, Conditions(autocast=bf16))
    assert isinstance(found, FrozenPrefix)
    halves, images = split_module(found), torch.randn(3, 3, 8, 8)
    with bf16():
        expected, got = net(images), halves.suffix(halves.prefix(images))
    assert (got.dtype, expected.dtype) == (torch.float32, torch.float32)
    assert torch.equal(got, expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_submodule_that_was_compiled_by_torchscript_runs_as_it_is() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    net = nn.Sequential(scripted, nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).train()
    net[0].eval()
    for parameter in net[0].parameters():
        parameter.requires_grad = False
    found = find_prefix(net, {"0.0.weight", "0.0.bias"}, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix), found
    assert probe_equality(net, split_module(found), torch.randn(3, 3, 8, 8)) is None


def test_a_root_that_torch_fx_cannot_trace_is_exported() -> None:
    net = Counted().train()
    net.body.eval().requires_grad_(False)
    frozen = {name for name, _ in net.named_parameters() if name.startswith("body.")}
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix), found
    assert found.observed.graph.tracer == "torch.export"
    assert not found.cut.keeps_images
    halves = split_module(found)
    assert probe_equality(net, halves, torch.randn(5, 3, 8, 8)) is None
    assert {id(p) for p in halves.suffix.parameters()} == {id(p) for p in net.fc.parameters()}


def test_autocast_that_is_off_already_is_not_switched() -> None:
    class Careful(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cuda", enabled=False, dtype=torch.float16):
                return x * 2

    net = nn.Sequential(Careful(), nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    found = find_prefix(net, set(), (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    assert not found.observed.graph.opaque


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_scripted_layer_inside_what_cannot_be_traced_runs_as_it_is() -> None:
    branching = Branching()
    branching.conv = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    net = nn.Sequential(branching, nn.Flatten(), nn.Linear(4 * 6 * 6, 2)).train()
    net[0].eval().requires_grad_(False)
    found = find_prefix(net, {name for name, _ in net.named_parameters() if name[0] == "0"}, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix), found
    assert [tensor.path for tensor in found.cut.tensors] == ["1"]


def test_an_export_leaves_what_layers_share_as_it_is() -> None:
    net = Tapped()
    find_prefix(net, {name for name, _ in net.named_parameters() if name != "fc.weight"}, (3, 8, 8), FREE_STORE)
    assert net.tap.seen is net.seen


def test_a_root_that_draws_in_python_is_not_cut() -> None:
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc((x if random.random() < 0.5 else 2 * x).mean((2, 3)))

    state = random.getstate()
    found = find_prefix(Skipping(), set(), (3, 8, 8))
    assert found == NoCut("its forward pass draws random numbers in Python")
    assert random.getstate() == state


def test_a_root_that_changes_itself_is_not_cut() -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.fc(x.mean((2, 3)) * self.calls)

    net = Growing()
    assert find_prefix(net, set(), (3, 8, 8)) == NoCut("its forward pass changes its own calls")
    assert net.calls == 0


def test_a_network_that_depends_on_values_is_not_cut() -> None:
    class Choosing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    found = find_prefix(Choosing(), set(), (3, 8, 8))
    assert isinstance(found, NoCut)
    assert "nor can torch.export" in found.reason


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_tensors_from_constants_are_not_left_on_the_module(memory_format: torch.memory_format) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x + torch.tensor([1.0, 2.0, 3.0])[:, None, None])

    net = Shifted().to(memory_format=memory_format)
    before = set(vars(net))
    found = find_prefix(net, set(), (3, 8, 8), under=Conditions(memory_format))
    assert isinstance(found, FrozenPrefix)
    assert set(vars(net)) == before
    images = torch.randn(3, 3, 8, 8).contiguous(memory_format=memory_format)
    assert probe_equality(net, split_module(found), images) is None


class Accompanied(nn.Module):
    """While it runs, another thread does something, and is waited for."""

    def __init__(self, beside: Callable[[], None]) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.beside = beside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        thread = threading.Thread(target=self.beside)
        thread.start()
        thread.join()
        return self.fc(x)


def test_a_network_of_another_thread_runs_as_ever_while_one_is_traced() -> None:
    other = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).eval()
    came_to: list[torch.Tensor] = []
    graph = to_graph(Accompanied(lambda: came_to.append(other(torch.ones(1, 2)))), torch.ones(1, 2))
    assert graph.tracer == "torch.fx"
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["fc"]
    assert [each.shape for each in came_to] == [(1, 2)]
