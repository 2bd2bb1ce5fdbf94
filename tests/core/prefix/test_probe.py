"""Trials at start notice what no analysis can."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ft.prefix.find import FrozenPrefix, earlier, find_prefix, split_module, steady
from ft.prefix.nearness import Nearness, apart
from ft.prefix.probe import (
    batchwise,
    probe_batch_invariance,
    probe_equality,
    probe_loosely,
    probe_shuffled,
    probe_validation,
    run_padded,
    same_bits,
)
from ft.prefix.records import Price, Tensors
from ft.prefix.state import state_kept

FREE_STORE = Price(bytes_per_s=1e15)
NEAR = Nearness(spread=0.1, answers=0.05)
ASIDE = "depends on its place in the batch or on the images beside it"


def probed_loosely(
    prefix: Callable[[torch.Tensor], Tensors], prepared: Callable[[torch.Tensor], Tensors], images: torch.Tensor
) -> str | None:
    return probe_loosely(prefix, prepared, images, prefix(images.clone()), NEAR)


def test_zero_and_minus_zero_are_not_the_same_bits() -> None:
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))


def test_features_of_a_resnet_do_not_depend_on_the_batch(prepare: Any) -> None:
    prepared = prepare("resnet")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    assert probe_batch_invariance(split_module(found).prefix, prepared.images(8), (8, 3)) is None


class Centred(nn.Module):
    """Subtracts the mean of the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True)


class Numbered(nn.Module):
    """Tells the first image from the others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.arange(1, x.shape[0] + 1)[:, None, None, None]


def test_a_layer_that_looks_across_the_batch_moves_the_cut() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Centred(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    net[0].requires_grad_(False)
    frozen = {"0.weight", "0.bias"}
    images = torch.randn(8, 3, 8, 8)
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    assert probe_batch_invariance(split_module(found).prefix, images, (8,)) == ASIDE
    moved = steady(found, frozen, images, (8,), FREE_STORE)
    assert [tensor.path for tensor in moved.cut.tensors] == ["1"]
    assert [str(barrier) for barrier in moved.cut.barriers if barrier.kind == "batch"] == [
        f"2.sub {ASIDE}: cut moved before it"
    ]
    assert probe_batch_invariance(split_module(moved).prefix, images, (8,)) is None


class Sometimes(nn.Module):
    """Rounds images according to their place, where their values are large: as vectorized loops and their ends do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 1, x * torch.arange(1, x.shape[0] + 1)[:, None, None, None], x)


def test_where_one_layer_depends_on_the_batch_another_of_its_kind_is_not_trusted() -> None:
    net = nn.Sequential(Sometimes(), nn.Conv2d(3, 4, 1), Sometimes(), nn.Flatten(), nn.Linear(4 * 8 * 8, 2))
    net[1].requires_grad_(False)
    net[1].bias.data.fill_(5.0)
    images = torch.rand(8, 3, 8, 8)  # none of them shows it in the first of the two
    found = find_prefix(net, {"1.weight", "1.bias"}, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    moved = steady(found, {"1.weight", "1.bias"}, images, (8,), FREE_STORE)
    assert moved.cut.tensors[0].path == "input"


def test_what_only_shuffling_shows_moves_the_cut_before_it() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Sometimes(), nn.Flatten(), nn.Linear(4 * 8 * 8, 2))
    nn.init.ones_(net[0].requires_grad_(False).weight)
    nn.init.zeros_(net[0].bias)
    images = torch.rand(8, 3, 8, 8) / 4
    images[7] = 2.0  # what is tried first are the four before it
    found = find_prefix(net, {"0.weight", "0.bias"}, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    assert steady(found, {"0.weight", "0.bias"}, images[:4], (4,), FREE_STORE) is found
    assert probe_shuffled(split_module(found).prefix, images, 4) is not None
    moved = earlier(found, {"0.weight", "0.bias"}, images, 4, "", FREE_STORE)
    assert moved.cut.tensors[0].path == "1"
    reason = "depends on the images that share its batch"
    assert all(barrier.reason == reason for barrier in moved.cut.barriers if barrier.kind == "batch")
    assert probe_shuffled(split_module(moved).prefix, images, 4) is None


def test_where_nobody_can_tell_what_failed_half_of_what_was_computed_once_is_left() -> None:
    layers = [layer for _ in range(4) for layer in (nn.Conv2d(3, 3, 1), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    frozen = {name for name, _ in net.named_parameters() if not name.startswith("9")}
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    moved = earlier(found, frozen, torch.rand(8, 3, 8, 8), 4, "it differs", FREE_STORE)
    assert len(moved.cut.prefix_nodes) == len(found.cut.prefix_nodes) // 2
    assert [str(barrier) for barrier in moved.cut.barriers] == ["4 is not proved (it differs): cut moved before it"]
    again = earlier(moved, frozen, torch.rand(8, 3, 8, 8), 4, "it differs", FREE_STORE)
    assert len(again.cut.prefix_nodes) == len(moved.cut.prefix_nodes) // 2


def test_a_layer_that_knows_places_is_noticed() -> None:
    images = torch.randn(8, 3, 8, 8)
    numbered = Numbered()
    assert probe_batch_invariance(lambda x: (numbered(x),), images, (8,)) == ASIDE


def test_a_layer_that_knows_the_size_of_the_batch_is_noticed() -> None:
    found = probe_batch_invariance(lambda x: (x * x.shape[0],), torch.randn(8, 3, 8, 8), (8, 3))
    assert found == "computes a batch of 3 and one of 8 differently"


@pytest.mark.parametrize(("layer", "refused"), [(nn.ReLU(), False), (Centred(), True), (Numbered(), True)], ids=str)
def test_loose_promises_too_refuse_what_looks_across_the_batch(layer: nn.Module, refused: bool) -> None:
    def prefix(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (layer(images),)

    found = probed_loosely(prefix, prefix, torch.randn(4, 3, 8, 8))
    assert (found is not None) == refused
    if refused:
        assert found == "depends on the images that share its batch"


def test_a_prepared_prefix_that_computes_something_else_is_noticed() -> None:
    images = torch.randn(4, 3, 8, 8)
    assert probed_loosely(lambda x: (x,), lambda x: (x.bfloat16(),), images) is None
    found = probed_loosely(lambda x: (x.relu(),), lambda x: (x,), images)
    assert found is not None
    assert re.fullmatch(
        r"is off by \d+\.\d% of what tells images apart, and changes \d+\.\d% of a random head's answers "
        r"\(10% and 5% are allowed\)",
        found,
    )


def test_a_prepared_prefix_whose_code_fixes_a_type_is_noticed() -> None:
    layer = nn.Conv2d(3, 4, 3).bfloat16()
    found = probed_loosely(lambda x: (x.relu(),), lambda x: (layer(x.float()),), torch.randn(4, 3, 8, 8))
    assert found is not None
    assert found.startswith("is not computed in its prepared form (RuntimeError")


def test_a_network_that_writes_to_its_input_is_not_refused_for_it() -> None:
    def prefix(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (images.mul_(2),)

    assert probed_loosely(prefix, prefix, torch.randn(4, 3, 8, 8)) is None


def test_what_is_not_finite_has_to_be_so_in_both() -> None:
    one, other = torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.0])
    assert apart((one,), (one.clone(),), (one,)) == 0
    assert apart((one,), (other,), (other,)) == math.inf
    assert apart((torch.tensor([1]),), (torch.tensor([2]),), (torch.tensor([2]),)) == math.inf


def test_validation_that_computes_something_else_is_noticed(prepare: Any) -> None:
    prepared = prepare("resnet", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    halves, modes = split_module(found), [inner.training for inner in prepared.module.modules()]
    assert probe_validation(prepared.module, halves, prepared.images(), 0) is None
    assert [inner.training for inner in prepared.module.modules()] == modes
    suffix = halves.suffix_eval
    assert suffix is not None
    head = suffix.graph.output_node().args[0]
    with suffix.graph.inserting_before(suffix.graph.output_node()):
        suffix.graph.output_node().args = (suffix.graph.call_method("relu", (head,)),)
    suffix.recompile()
    assert probe_validation(prepared.module, halves, prepared.images(), 0) == (
        "what validation computes differs between the whole network and its halves"
    )


def test_features_that_are_known_are_compared_with_and_not_computed_again(prepare: Any) -> None:
    prepared = prepare("resnet", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    halves, images, passes = split_module(found), prepared.images(8), [0]

    def prefix(batch: torch.Tensor) -> Tensors:
        passes[0] += 1
        return halves.prefix(batch)

    known = batchwise(prefix, images, 4)
    other = [tuple(tensor + 1 for tensor in batch) for batch in known]
    assert passes == [2]
    assert probe_shuffled(prefix, images, 4, known) is None
    assert passes == [2 + 3 * 2]
    assert probe_shuffled(prefix, images, 4, other) is not None
    assert probe_batch_invariance(prefix, images[:4], (4,), other[0]) == ASIDE
    assert probe_equality(prepared.module, halves, images[:4], 0, known[0]) is None
    assert probe_equality(prepared.module, halves, images[:4], 0, other[0]) is not None
    assert probe_validation(prepared.module, halves, images[:4], 0, known[0]) is None
    assert probe_validation(prepared.module, halves, images[:4], 0, other[0]) is not None


def test_a_short_batch_is_filled_up() -> None:
    images = torch.randn(3, 3, 4, 4)
    sizes = []

    def prefix(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(len(x))
        return (x * 2,)

    (kept,) = run_padded(prefix, images, 8)
    assert sizes == [8]
    assert torch.equal(kept, images * 2)


@pytest.mark.parametrize(("growth", "tolerance", "noticed"), [(1, 0, True), (1, 0.01, True), (1e-4, 0.01, False)])
def test_what_a_trace_cannot_see_is_noticed_by_a_step(growth: float, tolerance: float, noticed: bool) -> None:
    calls = [0]

    class Growing(nn.Module):
        """What it does changes with every call, by something outside of it."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls[0] += 1
            return self.fc(x.mean((2, 3)) * (1 + growth * calls[0]))

    net = Growing()
    found = find_prefix(net, set(), (3, 8, 8))
    assert isinstance(found, FrozenPrefix)
    differs = probe_equality(net, split_module(found), torch.randn(2, 3, 8, 8), tolerance)
    assert (differs == "output 0 differs between the whole network and its halves") == noticed
    assert noticed or differs is None


@pytest.mark.parametrize("kind", [dict, set])
def test_what_only_a_second_pass_does_otherwise_is_noticed(kind: type) -> None:
    class Later(nn.Module):
        """Doubles what it has seen the like of, of which it takes a note deep inside."""

        def __init__(self) -> None:
            super().__init__()
            self.fc, self.notes = nn.Linear(3, 2), {"sizes": kind()}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen, size = self.notes["sizes"], x.dim()
            factor = 2 if size in seen else 1
            seen.update({size: 1} if kind is dict else {size})
            return self.fc(x.mean((2, 3)) * factor)

    net = Later()
    found = find_prefix(net, set(), (3, 8, 8))
    assert isinstance(found, FrozenPrefix)
    assert probe_equality(net, split_module(found), torch.randn(2, 3, 8, 8)) is not None
    assert net.notes == {"sizes": kind()}


def test_views_of_stored_tensors_are_left_alone() -> None:
    net = nn.Module()
    net.register_buffer("position", torch.arange(3.0).view(3, 1))
    net.wide, net.loose = net.position.expand(3, 4), torch.zeros(2)
    net.inside = {"view": net.loose[1:]}
    with state_kept(net):
        net.position.add_(1)
        net.inside["view"].add_(1)
    assert torch.equal(net.wide[:, 0], torch.arange(3.0))
    assert torch.equal(net.loose, torch.zeros(2))


def test_a_trial_step_leaves_no_trace(prepare: Any) -> None:
    prepared = prepare("mobilenet_v3", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    before = {name: tensor.clone() for name, tensor in prepared.module.state_dict().items()}
    state = torch.get_rng_state()
    assert probe_equality(prepared.module, split_module(found), prepared.images()) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in prepared.module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in prepared.module.parameters())
