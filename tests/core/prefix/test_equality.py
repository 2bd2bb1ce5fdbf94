"""Training behind the cut is the same computation as training the whole network, in every bit."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from faults.repetitions import FULL
from ft.prefix.find import find_prefix, split_module
from ft.prefix.records import NoCut, Price

NETWORKS = ["alexnet", "convnext", "densenet", "efficientnet", "mobilenet_v3"]
NETWORKS += ["regnet", "resnet", "shufflenet", "squeezenet", "swin", "vit"]
FREEZINGS = ["all", "first half", "all but the end", "only norms", "all but norms"]
FREE_STORE = Price(bytes_per_s=1e15)


def train(module: nn.Module, forward: Callable[[int], Any], steps: int = 2) -> list[torch.Tensor]:
    """Losses of a few steps with dropout and momentum, then every tensor and gradient the module ends with."""
    torch.manual_seed(7)
    optimizer = torch.optim.SGD((p for p in module.parameters() if p.requires_grad), lr=0.01, momentum=0.9)
    labels = torch.tensor([0, 1, 2, 3])
    seen = []
    for step in range(steps):
        optimizer.zero_grad()
        outputs = forward(step)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = torch.stack([cross_entropy(output, labels) for output in outputs]).sum()
        loss.backward()
        optimizer.step()
        seen.append(loss.detach())
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    return [*seen, *gradients, *(tensor.clone() for tensor in module.state_dict().values())]


def same(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    def bits(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().contiguous().flatten().view(torch.uint8)

    return len(one) == len(other) and all(torch.equal(bits(a), bits(b)) for a, b in zip(one, other, strict=True))


ALL = [*itertools.product(NETWORKS, FREEZINGS), *itertools.product(["googlenet", "maxvit"], FREEZINGS[:2])]
QUICK = ALL[::5]  # networks of all kinds, and each freezing several times


@pytest.mark.faults
@pytest.mark.parametrize(("network", "freezing"), ALL if FULL else QUICK)
def test_training_behind_the_cut_equals_training_the_whole(prepare: Any, network: str, freezing: str) -> None:
    whole = prepare(network, freezing)
    batches = [whole.images(4), whole.images(4).flip(0)]
    expected = train(whole.module, lambda step: whole.module(batches[step]))

    cut = prepare(network, freezing)
    found = find_prefix(cut.module, cut.frozen, cut.shape, FREE_STORE)
    assert not isinstance(found, NoCut)
    halves = split_module(found)
    assert bool(found.cut.prefix_nodes) == (freezing != "only norms")
    with torch.inference_mode():
        kept = [halves.prefix(batch) for batch in batches]
    tensors = [tuple(tensor.clone() for tensor in features) for features in kept]
    before = [tensor.clone() for features in tensors for tensor in features]
    found_out = train(cut.module, lambda step: halves.suffix(tensors[step]))

    assert same(found_out, expected)
    assert same([tensor for features in tensors for tensor in features], before), "what is kept was written to"

    whole.module.eval()
    cut.module.eval()
    assert halves.suffix_eval is not None
    with torch.no_grad():
        assert same([halves.suffix_eval(tensors[0])], [whole.module(batches[0])])


def test_halves_leave_the_module_as_it_was(prepare: Any) -> None:
    prepared = prepare("googlenet")
    module = prepared.module
    modes = [inner.training for inner in module.modules()]
    attributes = set(vars(module))
    tensors = copy.deepcopy(module.state_dict())
    state = torch.get_rng_state()
    found = find_prefix(module, prepared.frozen, prepared.shape)
    assert not isinstance(found, NoCut)
    halves = split_module(found)
    assert [inner.training for inner in module.modules()] == modes
    assert set(vars(module)) == attributes
    assert same(list(module.state_dict().values()), list(tensors.values()))
    assert torch.equal(torch.get_rng_state(), state)
    own = {id(parameter) for parameter in module.parameters()}
    assert {id(parameter) for parameter in (*halves.prefix.parameters(), *halves.suffix.parameters())} <= own
