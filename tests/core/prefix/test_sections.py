"""Networks whose forward pass no tracer can follow are cut where one of their layers returns."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ft.prefix.digest import prefix_digest
from ft.prefix.find import FrozenPrefix, find_prefix, split_module
from ft.prefix.fold import prepare_prefix
from ft.prefix.probe import probe_equality, same_bits
from ft.prefix.records import NoCut, Price
from ft.prefix.sections import NotWhole
from ft.prefix.split import needed_no_more

FREE_STORE = Price(bytes_per_s=1e15)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True))


class Judging(nn.Module):
    """Refuses logits that are not finite, by their values, which neither torch.fx nor torch.export can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 4)
        self.shift = nn.Parameter(torch.zeros(1, 4, 1, 1))
        self.layer1 = block(4, 6)
        self.layer2 = block(6, 8)
        self.dropout = 0.0
        self.fc = nn.Linear(8, 5)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x) + self.shift
        return self.layer2(F.gelu(self.layer1(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).mean((2, 3))
        logits: torch.Tensor = self.fc(F.dropout(x, self.dropout, self.training))
        if not torch.isfinite(logits).all():
            raise FloatingPointError("these logits are not finite")
        return logits


def prepared(net: nn.Module, frozen: Collection[str]) -> tuple[nn.Module, frozenset[str]]:
    """`net` as it trains when the layers `frozen` (a prefix of names each) are frozen, and what that freezes."""
    torch.manual_seed(0)
    for name, parameter in net.named_parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
        parameter.requires_grad_(not name.startswith(tuple(frozen)))
    net.train()
    for path in frozen:
        inner = net.get_submodule(path) if path != "shift" else None
        if inner is not None:
            inner.eval()
    return net, frozenset(name for name, parameter in net.named_parameters() if not parameter.requires_grad)


def found_in(net: nn.Module, frozen: Collection[str]) -> FrozenPrefix | NoCut:
    return find_prefix(net, frozen, (3, 16, 16), FREE_STORE)


def cut_of(net: nn.Module, frozen: Collection[str]) -> FrozenPrefix:
    found = found_in(net, frozen)
    assert isinstance(found, FrozenPrefix), found
    return found


BACKBONE = ("stem", "shift", "layer1", "layer2")


@pytest.mark.parametrize(
    ("frozen", "last", "left"),
    [
        (BACKBONE, "layer2", {"fc"}),
        (("stem", "shift", "layer1"), "layer1", {"layer2", "fc"}),
        (("stem", "shift"), "stem", {"shift", "layer1", "layer2", "fc"}),
        (("stem",), "stem", {"shift", "layer1", "layer2", "fc"}),
    ],
)
def test_a_network_that_cannot_be_traced_is_cut_where_a_layer_returns(
    frozen: tuple[str, ...], last: str, left: set[str]
) -> None:
    net, names = prepared(Judging(), frozen)
    found = cut_of(net, names)
    assert found.observed.graph.tracer == "module boundaries"
    assert [tensor.path for tensor in found.cut.tensors] == [last]
    halves = split_module(found)
    assert probe_equality(net, halves, IMAGES) is None
    own = {id(parameter): name.split(".")[0] for name, parameter in net.named_parameters()}
    assert {own[id(parameter)] for parameter in halves.suffix.parameters()} == left
    assert {name.split(".")[0] for name in needed_no_more(net, halves)} == set(own.values()) - left


def test_a_plan_without_values_finds_the_same_cut() -> None:
    net, names = prepared(Judging(), BACKBONE)
    with torch.device("meta"):
        empty, _ = prepared(Judging(), BACKBONE)
    assert cut_of(empty, names).cut == cut_of(net, names).cut
    assert all(parameter.is_meta for parameter in empty.parameters())


def test_what_torch_cannot_follow_it_does_not_tell_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    cut_of(*prepared(Judging(), BACKBONE))
    said = capfd.readouterr()
    assert said.out + said.err == ""


def losses(net: nn.Module, forward: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    torch.manual_seed(7)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    seen = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = cross_entropy(forward(), torch.tensor([0, 1, 2, 3]))
        loss.backward()
        optimizer.step()
        seen.append(loss.detach())
    return [*seen, *(tensor.clone() for tensor in net.state_dict().values())]


@pytest.mark.parametrize("frozen", [BACKBONE, ("stem", "shift", "layer1")])
def test_training_behind_a_boundary_equals_training_the_whole(frozen: tuple[str, ...]) -> None:
    whole, names = prepared(Judging(), frozen)
    whole.dropout = 0.5  # drawn behind the boundary, by the network's own code
    net = copy.deepcopy(whole)
    expected = losses(whole, lambda: whole(IMAGES))
    halves = split_module(cut_of(net, names))
    with torch.inference_mode():
        kept = halves.prefix(IMAGES)
    features = tuple(tensor.clone() for tensor in kept)
    found = losses(net, lambda: halves.suffix(features))
    assert all(same_bits(*pair) for pair in zip(found, expected, strict=True))

    net.eval()
    whole.eval()
    assert halves.suffix_eval is not None
    with torch.no_grad():
        assert same_bits(halves.suffix_eval(features), whole(IMAGES))


def test_what_lies_before_the_boundary_is_not_run_again() -> None:
    net, names = prepared(Judging(), BACKBONE)
    halves = split_module(cut_of(net, names))
    kept = tuple(tensor.clone() for tensor in halves.prefix(IMAGES))
    net.layer1.forward = net.stem.forward = None  # type: ignore[assignment, method-assign]
    assert halves.suffix(kept).shape == (4, 5)


@pytest.mark.parametrize("promise", ["close", "fast"])
def test_a_section_is_prepared_like_any_prefix(promise: Any) -> None:
    net, names = prepared(Judging(), BACKBONE)
    halves = split_module(cut_of(net, names))
    plain, other = halves.prefix(IMAGES)[0], prepare_prefix(halves.prefix, promise)(IMAGES)[0]
    assert torch.allclose(other.float(), plain, rtol=0.1, atol=0.1)
    assert net.layer1[0].weight.dtype == torch.float32


def all_attributes(net: nn.Module) -> list[dict[str, Any]]:
    """What every layer holds, its hooks among them, as it is now."""
    return [{name: copy.copy(value) for name, value in vars(layer).items()} for layer in net.modules()]


def test_the_module_is_left_as_it_was() -> None:
    net, names = prepared(Judging(), BACKBONE)
    state, tensors, attributes = torch.get_rng_state(), copy.deepcopy(net.state_dict()), all_attributes(net)
    split_module(cut_of(net, names))
    assert all(same_bits(tensor, tensors[name]) for name, tensor in net.state_dict().items())
    assert all_attributes(net) == attributes
    assert torch.equal(torch.get_rng_state(), state)


def test_a_boundary_that_something_else_crosses_is_none() -> None:
    class Skipping(Judging):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            early = self.stem(x)
            late: torch.Tensor = self.layer2(self.layer1(early + self.shift))
            return late + early.repeat(1, 2, 1, 1)

    net, names = prepared(Skipping(), BACKBONE)
    found = cut_of(net, names)
    assert [tensor.path for tensor in found.cut.tensors] == ["stem"]
    assert probe_equality(net, split_module(found), IMAGES) is None


def test_norms_that_move_are_barriers() -> None:
    net, names = prepared(Judging(), BACKBONE)
    net.layer1.train()
    found = cut_of(net, names)
    assert [tensor.path for tensor in found.cut.tensors] == ["layer1.0"]
    assert [barrier.kind for barrier in found.cut.barriers] == ["statistics"]
    assert probe_equality(net, split_module(found), IMAGES) is None


@pytest.mark.parametrize(
    "look",
    [
        lambda x: bool(x.sum() > 1e9),
        lambda x: x[:, 0, 0, 0].tolist() == [],
        lambda x: (x.detach().numpy() > 1e9).all(),
        lambda x: len((x > 1e9).nonzero()) > 0,
        lambda x: len(x[x > 1e9]) > 0,
    ],
    ids=["item", "tolist", "numpy", "nonzero", "mask"],
)
def test_what_is_decided_by_values_is_not_computed_once(look: Callable[[torch.Tensor], bool]) -> None:
    class Deciding(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = super().forward(x)
            return 2 * x if look(x) else x

    net = Judging()
    net.layer1 = Deciding(*block(4, 6))  # type: ignore[misc]
    net, names = prepared(net, BACKBONE)
    found = cut_of(net, names)
    assert found.cut.tensors[0].path in ("layer1.1", "layer1.2")  # its ReLU and itself return the same thing
    assert [str(each) for each in found.cut.barriers] == [
        "layer1 decides by the values of a batch: cut moved before it"
    ]


def test_code_between_layers_that_decides_by_values_is_not_skipped() -> None:
    class Deciding(Judging):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.layer2(self.layer1(2 * x if x.sum() > 1e9 else x))

    net, names = prepared(Deciding(), BACKBONE)
    found = cut_of(net, names)
    assert [tensor.path for tensor in found.cut.tensors] == ["stem"]
    assert probe_equality(net, split_module(found), IMAGES) is None


def test_an_index_of_whole_numbers_decides_nothing() -> None:
    class Shuffling(Judging):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return super().features(x[:, torch.tensor([2, 1, 0])])

    net, names = prepared(Shuffling(), BACKBONE)
    assert [tensor.path for tensor in cut_of(net, names).cut.tensors] == ["layer2"]


class Otherwise(Judging):
    """In eval mode, does something else before the boundary."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return super().features(x if self.training else x.clamp(max=0.5))


class OtherLayer(Judging):
    """In eval mode, another layer gives the features."""

    def __init__(self) -> None:
        super().__init__()
        self.layer3 = block(6, 8).eval()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer1(self.stem(x) + self.shift)
        features: torch.Tensor = self.layer2(x) if self.training else self.layer3(x)
        return features


class Crossing(Judging):
    """In eval mode, something else crosses the boundary."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.stem(x)
        logits = super().forward(x)
        return logits if self.training else logits.masked_fill(low.flatten(1).amax(1, True) > 9, 0)


@pytest.mark.parametrize("kind", [Otherwise, OtherLayer, Crossing])
def test_a_network_that_does_something_else_in_eval_mode_is_not_validated_on_features(kind: type[nn.Module]) -> None:
    net, names = prepared(kind(), (*BACKBONE, "layer3") if kind is OtherLayer else BACKBONE)
    assert split_module(cut_of(net, names)).suffix_eval is None


def test_layers_keep_their_types_and_attributes_where_they_are_skipped() -> None:
    class Adapting(Judging):
        """Asks layers what they are."""

        def __init__(self) -> None:
            super().__init__()
            self.adapter = nn.Conv2d(8, 8, 1)

        def features(self, x: torch.Tensor) -> torch.Tensor:
            for layer in (self.stem, self.layer1, self.layer2):
                x = layer(x.to(layer[0].weight.dtype))
                if isinstance(layer, nn.Sequential) and layer[0].out_channels == 8:
                    x = x + self.adapter(x)
            return x

    net, names = prepared(Adapting(), BACKBONE)
    found = cut_of(net, names)
    assert [tensor.path for tensor in found.cut.tensors] == ["layer2"]
    assert probe_equality(net, split_module(found), IMAGES) is None


class Chunking(Judging):
    """Goes through a batch eight images at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(Chunking, self).forward(part) for part in x.split(8)])


def test_a_section_that_turns_out_to_be_called_several_times_says_so() -> None:
    net, names = prepared(Chunking(), BACKBONE)
    halves = split_module(cut_of(net, names))
    assert halves.prefix(IMAGES)[0].shape[0] == 4
    with pytest.raises(NotWhole, match="in parts"):
        halves.prefix(IMAGES.repeat(3, 1, 1, 1))


class Centring(Judging):
    """Sets a buffer anew in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.center = 0.9 * self.center + 0.1 * self.features(x).mean((0, 2, 3)).detach()
        return super().forward(x)


class Sometimes(Judging):
    """Has a layer that few batches go through."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits + self.extra(logits) if random.random() < 1e-9 else logits


class Listing(Judging):
    """Hides its layers from torch."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [block(8, 8)]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.hidden[0](super().features(x))


@pytest.mark.parametrize("kind", [Centring, Sometimes])
def test_a_network_whose_own_code_has_a_state_is_not_cut(kind: type[nn.Module]) -> None:
    net, names = prepared(kind(), BACKBONE)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert isinstance(found_in(net, names), NoCut)
    assert all(same_bits(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_layers_that_torch_does_not_know_of_run_behind_the_boundary() -> None:
    net, names = prepared(Listing(), BACKBONE)
    found = cut_of(net, names)
    assert [tensor.path for tensor in found.cut.tensors] == ["layer2"]
    assert probe_equality(net, split_module(found), IMAGES) is None


def test_activation_checkpointing_behind_the_boundary_works() -> None:
    class Checkpointing(Judging):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.features(x).mean((2, 3))
            logits: torch.Tensor = checkpoint(self.fc, x, use_reentrant=False)
            if not torch.isfinite(logits).all():
                raise FloatingPointError
            return logits

    net, names = prepared(Checkpointing(), BACKBONE)
    assert probe_equality(net, split_module(cut_of(net, names)), IMAGES) is None


def test_a_network_that_is_frozen_throughout_is_cut_like_any_other() -> None:
    net, _ = prepared(Judging(), BACKBONE)
    assert isinstance(found_in(net, {name for name, _ in net.named_parameters()}), FrozenPrefix)


def test_code_that_counts_its_calls_in_a_tensor_is_not_run_twice() -> None:
    class Counting(Judging):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def features(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().features(x)

    net, names = prepared(Counting(), BACKBONE)
    assert isinstance(found_in(net, names), NoCut)
    assert net.calls == 0


def test_a_part_that_cannot_be_traced_is_cut_inside() -> None:
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Judging()
            self.more = nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = 2 * x
            return self.more(self.net(x)) if x.shape[-1] > 4 else x

    frozen = ("net.stem", "net.shift", "net.layer1")
    net = Wrapping()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    net.train()
    net.net.stem.eval()
    net.net.layer1.eval()
    found = cut_of(net, {name for name, _ in net.named_parameters() if name.startswith(frozen)})
    assert [tensor.path for tensor in found.cut.tensors] == ["net.layer1"]
    assert probe_equality(net, split_module(found), IMAGES) is None


def test_the_key_sees_the_code_the_settings_and_the_weights_of_a_section_but_no_head() -> None:
    def digest(net: nn.Module, names: Collection[str]) -> str:
        return prefix_digest(split_module(cut_of(net, names)).prefix)

    class Halving(Judging):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return super().features(x / 2)

    net, names = prepared(Judging(), BACKBONE)
    first = digest(net, names)
    with torch.no_grad():
        net.fc.weight += 1
    assert digest(net, names) == first
    with torch.no_grad():
        net.shift += 1
    assert digest(net, names) != first
    assert digest(*prepared(Halving(), BACKBONE)) != digest(*prepared(Judging(), BACKBONE))
