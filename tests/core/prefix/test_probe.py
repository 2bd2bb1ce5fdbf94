"""Trials at start notice what no analysis can."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ft.prefix.find import FrozenPrefix, find_prefix, split_module, steady
from ft.prefix.probe import probe_batch_invariance, probe_equality, run_padded, same_bits
from ft.prefix.records import Price

FREE_STORE = Price(bytes_per_s=1e15)
ASIDE = "depends on its place in the batch or on the images beside it"


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


def test_a_layer_that_knows_places_is_noticed() -> None:
    images = torch.randn(8, 3, 8, 8)
    numbered = Numbered()
    assert probe_batch_invariance(lambda x: (numbered(x),), images, (8,)) == ASIDE


def test_a_layer_that_knows_the_size_of_the_batch_is_noticed() -> None:
    found = probe_batch_invariance(lambda x: (x * x.shape[0],), torch.randn(8, 3, 8, 8), (8, 3))
    assert found == "computes a batch of 3 and one of 8 differently"


def test_a_short_batch_is_filled_up() -> None:
    images = torch.randn(3, 3, 4, 4)
    sizes = []

    def prefix(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(len(x))
        return (x * 2,)

    (kept,) = run_padded(prefix, images, 8)
    assert sizes == [8]
    assert torch.equal(kept, images * 2)


def test_what_a_trace_cannot_see_is_noticed_by_a_step() -> None:
    class Growing(nn.Module):
        """Its Python state changes with every call."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.fc(x.mean((2, 3)) * self.calls)

    net = Growing()
    found = find_prefix(net, set(), (3, 8, 8))
    assert isinstance(found, FrozenPrefix)
    differs = probe_equality(net, split_module(found), torch.randn(2, 3, 8, 8))
    assert differs is not None
    assert "differs" in differs


def test_a_trial_step_leaves_no_trace(prepare: Any) -> None:
    prepared = prepare("googlenet", "first half")
    found = find_prefix(prepared.module, prepared.frozen, prepared.shape)
    assert isinstance(found, FrozenPrefix)
    before = {name: tensor.clone() for name, tensor in prepared.module.state_dict().items()}
    state = torch.get_rng_state()
    assert probe_equality(prepared.module, split_module(found), prepared.images()) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in prepared.module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in prepared.module.parameters())
