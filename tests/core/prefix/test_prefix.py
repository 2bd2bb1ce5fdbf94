"""The prefix by itself: folded, digested, continued, and what is left when all of it is done."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.nn.utils import parametrizations

from ft.prefix.digest import prefix_digest
from ft.prefix.find import Conditions, FrozenPrefix, find_prefix, split_module
from ft.prefix.fold import fold_batch_norms, prepare_prefix
from ft.prefix.linear import linear_head
from ft.prefix.records import Price
from ft.prefix.split import Halves, bridge

FREE_STORE = Price(bytes_per_s=1e15)


def found_in(prepared: Any, frozen: Any = None) -> FrozenPrefix:
    found = find_prefix(prepared.module, prepared.frozen if frozen is None else frozen, prepared.shape, FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    return found


def halves_of(prepared: Any) -> Halves:
    return split_module(found_in(prepared))


def norms(module: nn.Module) -> int:
    return sum(isinstance(inner, nn.BatchNorm2d) for inner in module.modules())


@pytest.mark.parametrize("network", ["resnet", "mobilenet_v3", "densenet", "shufflenet"])
def test_a_folded_prefix_is_as_close_to_the_truth_as_a_plain_one(prepare: Any, network: str) -> None:
    prepared = prepare(network)
    prepared.module.to(memory_format=torch.channels_last)  # as the plain loop trains
    prefix = halves_of(prepared).prefix
    images = prepared.images(8).contiguous(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in prepared.module.state_dict().items()}
    close = prepare_prefix(prefix, "close")
    assert norms(close) < norms(prefix)
    with torch.inference_mode():
        plain, folded = prefix(images)[0], close(images)[0]
        truth = halves_of(prepare(network)).prefix.double()(images.double())[0]
    assert (folded - truth).norm() < 1.2 * (plain - truth).norm()  # both are a matter of luck
    assert all(torch.equal(tensor, before[name]) for name, tensor in prepared.module.state_dict().items())


def test_a_fast_prefix_computes_in_bf16(prepare: Any) -> None:
    prepared = prepare("resnet")
    prefix = halves_of(prepared).prefix
    with torch.inference_mode():
        plain, fast = prefix(prepared.images())[0], prepare_prefix(prefix, "fast")(prepared.images())[0]
    assert fast.dtype == torch.bfloat16
    assert torch.allclose(fast.float(), plain, rtol=0.1, atol=0.05)
    assert prepared.module.conv1.weight.dtype == torch.float32


def test_an_exact_prefix_is_the_prefix(prepare: Any) -> None:
    prefix = halves_of(prepare("resnet")).prefix
    assert prepare_prefix(prefix, "exact") is prefix


class Padding(nn.Conv2d):
    """Pads by itself, as TensorFlow's convolutions do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(images, (0, 1, 0, 1)))


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_ones_own_is_folded(bias: bool) -> None:
    module = nn.Sequential(Padding(3, 4, 3, bias=bias), nn.BatchNorm2d(4)).eval()
    nn.init.uniform_(module[1].running_mean)
    nn.init.uniform_(module[1].running_var, 0.5, 2)
    nn.init.uniform_(module[1].weight, 0.5, 2)
    folded = fold_batch_norms(fx.symbolic_trace(copy.deepcopy(module)))
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(folded(images), module(images), atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


def test_a_tensor_that_two_convolutions_use_is_not_folded() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3, 3, 3))
            self.norm = nn.BatchNorm2d(3)
            nn.init.uniform_(self.norm.running_var, 0.5, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.norm(torch.conv2d(images, self.weight)) + torch.conv2d(images, self.weight)

    module = Shared().eval()
    folded = fold_batch_norms(fx.symbolic_trace(copy.deepcopy(module)))
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(folded(images), module(images), atol=1e-4)


def test_a_convolution_with_two_norms_is_not_folded() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.a, self.b = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc((self.a(self.conv(x)) + self.b(self.conv(x * 2))).mean((2, 3)))

    net = Twice().train()
    for part in (net.conv, net.a, net.b):
        part.eval()
    net.b.running_var.fill_(4.0)
    frozen = {name for name, _ in net.named_parameters() if not name.startswith("fc.")}
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    prefix = split_module(found).prefix
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(prepare_prefix(prefix, "close")(images)[0], prefix(images)[0], atol=1e-5)


class Rectified(nn.Module):
    """Calls an in-place function for its effect alone, on what folding makes of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        before = x.mean((2, 3))
        nn.functional.relu(x, inplace=True)
        return self.a(before) + self.b(x.mean((2, 3)))


def rectified() -> tuple[Rectified, Halves]:
    net = Rectified().train()
    net.conv.eval()
    net.norm.eval()
    frozen = {name for name, _ in net.named_parameters() if name.startswith(("conv", "norm"))}
    found = find_prefix(net, frozen, (3, 8, 8), FREE_STORE)
    assert isinstance(found, FrozenPrefix)
    assert len(found.cut.tensors) == 2
    return net, split_module(found)


def test_folding_keeps_operations_that_work_in_place() -> None:
    _, halves = rectified()
    images = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        plain, folded = halves.prefix(images), prepare_prefix(halves.prefix, "close")(images)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(plain, folded, strict=True))
    assert plain[1].min() >= 0 > plain[0].min()


def test_validation_tells_a_tensor_from_what_was_written_over_it() -> None:
    net, halves = rectified()
    images = torch.randn(4, 3, 8, 8)
    net.eval()
    assert halves.suffix_eval is not None
    assert torch.equal(halves.suffix_eval(halves.prefix(images)), net(images))


class Shifted(nn.Module):
    """A convolution, that and a constant in fp32, and where the sum is largest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("offset", torch.full((4, 1, 1), 1000.0))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.conv(images)
        shifted = found + self.offset
        return found, shifted, shifted.argmax(1)


@pytest.mark.parametrize(("promise", "dtype"), [("close", torch.float32), ("fast", torch.bfloat16)])
def test_what_autocast_keeps_in_fp32_a_fast_prefix_does_too(promise: Any, dtype: torch.dtype) -> None:
    module, images = Shifted(), torch.randn(2, 3, 8, 8)
    prepared = prepare_prefix(fx.symbolic_trace(module), promise)
    with torch.inference_mode():
        found, shifted, largest = prepared(images)
    assert (found.dtype, shifted.dtype, largest.dtype) == (dtype, torch.float32, torch.int64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=promise == "fast"):
        assert torch.equal(module(images)[1], shifted)
    assert module.conv.weight.dtype == torch.float32


class Paired(nn.Module):
    """What follows the features fails under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.pair = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), nn.Bilinear(144, 144, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.features(images)
        return self.pair(found, found)


def test_what_follows_the_prefix_need_not_bear_what_the_prefix_is_computed_in() -> None:
    module = Paired().requires_grad_(False)
    module.pair.requires_grad_(True)
    frozen = {"features.0.weight", "features.0.bias"}
    bf16 = partial(torch.autocast, "cpu", torch.bfloat16)
    found = find_prefix(module, frozen, (3, 8, 8), FREE_STORE, Conditions(computed_in=bf16))
    assert isinstance(found, FrozenPrefix)
    assert [tensor.dtype for tensor in found.cut.tensors] == ["float32"]


def test_a_weight_that_others_read_stays_as_it_is() -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    types = [layer.weight.dtype for layer in prepare_prefix(fx.symbolic_trace(tied), "fast").prefix.children()]
    assert types == [torch.float32, torch.float32, torch.bfloat16]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 4)),
        (nn.TransformerEncoderLayer(8, 2, 8), nn.TransformerEncoderLayer(8, 2, 8, norm_first=True)),
    ],
    ids=["heads", "norm first"],
)
def test_the_digest_sees_settings_that_a_layer_does_not_show(one: nn.Module, other: nn.Module) -> None:
    other.load_state_dict(one.state_dict())
    digests = set()
    for layer in (one, other):
        graph = fx.Graph()
        images = graph.placeholder("images")
        graph.output(graph.call_module("layer", (images,)))
        digests.add(prefix_digest(fx.GraphModule({"layer": layer}, graph)))
    assert len(digests) == 2


class Doubling(nn.ReLU):
    """What somebody made of a layer of torch."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) * (2 if self.training else 1)


@pytest.mark.parametrize(
    ("layer", "digests"),
    [
        (nn.ReLU6(), 1),
        (nn.AvgPool2d(2), 1),
        (nn.Dropout(), 2),
        (nn.BatchNorm2d(3), 2),
        (nn.RReLU(), 2),
        (Doubling(), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_digest_sees_the_mode_of_a_layer_that_asks_for_it(layer: nn.Module, digests: int) -> None:
    found = set()
    for mode in (True, False):
        graph = fx.Graph()
        graph.output(graph.call_module("layer", (graph.placeholder("images"),)))
        found.add(prefix_digest(fx.GraphModule({"layer": layer.train(mode)}, graph)))
    assert len(found) == digests


def test_the_digest_sees_what_a_function_of_the_networks_own_does() -> None:
    def halving() -> Any:
        def soften(images: torch.Tensor) -> torch.Tensor:
            return images * 0.5

        return soften

    def thirding() -> Any:
        def soften(images: torch.Tensor) -> torch.Tensor:
            return images * 0.3

        return soften

    digests = set()
    for soften in (halving(), thirding(), halving()):
        graph = fx.Graph()
        graph.output(graph.call_function(soften, (graph.placeholder("images"),)))
        digests.add(prefix_digest(fx.GraphModule({}, graph)))
    assert len(digests) == 2


def test_the_digest_ignores_what_lies_behind_the_cut(prepare: Any) -> None:
    prepared = prepare("resnet")
    digest = prefix_digest(halves_of(prepared).prefix)
    prepared.module.fc = nn.Linear(prepared.module.fc.in_features, 9)
    assert prefix_digest(halves_of(prepared).prefix) == digest


def test_the_digest_sees_a_weight_a_statistic_and_a_setting(prepare: Any) -> None:
    digests = set()
    for change in range(4):
        prepared = prepare("resnet")
        with torch.no_grad():
            if change == 1:
                prepared.module.conv1.weight[0, 0, 0, 0] += 1e-6
            if change == 2:
                prepared.module.bn1.running_mean[0] += 1e-6
            if change == 3:
                prepared.module.bn1.eps = 1e-4
        digests.add(prefix_digest(halves_of(prepared).prefix))
    assert len(digests) == 4


def test_features_of_a_shallower_freeze_lead_on_to_a_deeper_one(prepare: Any) -> None:
    prepared = prepare("densenet")
    deep = found_in(prepared)
    names = [name for name, _ in prepared.module.named_parameters()]
    shallow = found_in(prepared, prepared.frozen & set(names[: len(names) // 2]))
    assert len(shallow.cut.prefix_nodes) < len(deep.cut.prefix_nodes)
    on = bridge(deep.observed, shallow.cut, deep.cut)
    assert on is not None
    images = prepared.images()
    kept = split_module(shallow).prefix(images)
    expected = split_module(deep).prefix(images)
    assert all(torch.equal(a, b) for a, b in zip(on(kept), expected, strict=True))
    assert bridge(deep.observed, deep.cut, shallow.cut) is None


def test_a_linear_head_is_recognised(prepare: Any) -> None:
    resnet = prepare("resnet")
    assert linear_head(halves_of(resnet).suffix) is resnet.module.fc
    mobilenet = prepare("efficientnet")
    halves = halves_of(mobilenet)
    assert linear_head(halves.suffix) is mobilenet.module.classifier[1]  # active dropout lies before it
    vgg = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Dropout(), nn.Linear(3, 2), nn.Dropout(0.5)).train()
    vgg[1].requires_grad_(False)
    assert linear_head(fx.symbolic_trace(vgg)) is None, "what is dropped out behind it is not fitted"
    assert linear_head(fx.symbolic_trace(vgg.eval())) is vgg[3]
    parametrizations.weight_norm(vgg[3])
    assert linear_head(fx.symbolic_trace(vgg)) is None, "nobody can set its weight"
    mobilenet.module.eval()
    assert halves.suffix_eval is not None
    assert linear_head(halves.suffix_eval) is mobilenet.module.classifier[1]
    resnet = prepare("resnet", "first half")
    assert linear_head(halves_of(resnet).suffix) is None
    flattened = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Identity(), nn.Flatten())
    assert linear_head(fx.symbolic_trace(flattened)) is flattened[1], "vectors stay as they are"
    rows = fx.symbolic_trace(nn.Sequential(nn.Linear(12, 3), nn.Flatten()))
    assert linear_head(rows) is None, "the layer may see rows of an image, which are put together after it"
    resnet.module.requires_grad_(False).fc.requires_grad_(True)
    assert linear_head(halves_of(resnet).suffix) is resnet.module.fc  # what lies before it does not train
