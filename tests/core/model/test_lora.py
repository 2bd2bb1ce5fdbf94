"""Low-rank adapters: nothing at first, merged without a difference, beside what is called and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from backbones import small
from ft.config.lora import LoraConfig
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Backbone, Stage
from ft.model.adapted import adapter_names, can_be_merged, merged_state, merged_weight, with_adapter
from ft.model.lora import add_adapters

IMAGES = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1])


class Varied(nn.Module):
    """Convolutions of every form, an attention of torch's that never calls its last layer, and one layer twice. `mode`
    and `dilation` are those of the first two convolutions."""

    def __init__(self, mode: str = "reflect", dilation: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode=mode, bias=False)
        self.wide = nn.Conv2d(8, 12, (3, 1), padding=(2, 0), dilation=(dilation, 1))
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.inside = nn.Linear(12, 12)
        self.twice = self.again = nn.Linear(12, 12)
        self.idle = nn.Linear(12, 12)
        self.fc = nn.Linear(12, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.depthwise(torch.relu(self.wide(torch.relu(self.stem(images))))))
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        answers: Tensor = self.fc(self.again(self.twice(torch.relu(self.inside(tokens)).mean(1))))
        return answers


def varied(seed: int = 0, mode: str = "reflect", dilation: int = 2) -> Backbone:
    torch.manual_seed(seed)
    module = Varied(mode, dilation)
    names = ("stem", "wide", "depthwise", "attention", "inside", "twice", "idle")
    return Backbone(module, head_paths=("fc",), stages=tuple(Stage(each, (each,)) for each in names), feature_dim=12)


def adapted(plugins: Plugins, **lora: Any) -> Backbone:
    backbone = varied()
    add_adapters(backbone, LoraConfig.model_validate({"rank": 2, **lora}), plugins, 12, seed=3)
    return backbone


def stir(module: nn.Module) -> None:
    """Give each adapter's second layer values, as training does."""
    generator = torch.Generator().manual_seed(7)
    for name, parameter in module.named_parameters():
        if name.endswith("lora_b.weight"):
            parameter.data = torch.randn(parameter.shape, generator=generator)


def test_adapters_stand_beside_what_is_called_once(plugins: Plugins) -> None:
    backbone = varied()
    paths = add_adapters(backbone, LoraConfig(rank=2), plugins, 12, seed=3)
    assert paths == ("stem", "wide", "inside")
    assert {name.partition(".")[0] for name in adapter_names(backbone.module)} == set(paths)


def test_at_first_they_change_nothing(plugins: Plugins) -> None:
    plain, other = varied().module.eval(), adapted(plugins).module.eval()
    assert torch.equal(plain(IMAGES), other(IMAGES))
    state, before = merged_state(other), plain.state_dict()
    assert state.keys() == before.keys()
    assert all(torch.equal(state[name], before[name]) for name in state)


@pytest.mark.parametrize("alpha", [None, 8.0])
def test_merged_the_plain_network_answers_the_same(alpha: float | None, plugins: Plugins) -> None:
    other = adapted(plugins, alpha=alpha).module.eval()
    before = other(IMAGES)
    stir(other)
    answers = other(IMAGES)
    assert not torch.allclose(before, answers)
    plain = varied(seed=1).module.eval()
    plain.load_state_dict(merged_state(other))
    torch.testing.assert_close(plain(IMAGES), answers, rtol=1e-4, atol=1e-5)


def test_layers_are_chosen_as_what_is_frozen_is(plugins: Plugins) -> None:
    backbone = varied()
    assert add_adapters(backbone, LoraConfig.model_validate({"rank": 1, "match": "regex:w.*"}), plugins, 12, 0) == (
        "wide",
    )
    with pytest.raises(FtError, match=r"--lora: of the layers of .* none is a linear layer or a convolution"):
        add_adapters(varied(), LoraConfig.model_validate({"rank": 1, "match": "regex:depthwise.*"}), plugins, 12, 0)


class Padded(nn.Conv2d):
    """Pads two sides, as networks that came from TensorFlow do."""

    def forward(self, input: Tensor) -> Tensor:
        padded = nn.functional.pad(input, (0, 1, 0, 1))
        return nn.functional.conv2d(padded, self.weight, self.bias, self.stride)


class Standardised(nn.Conv2d):
    """Standardises its weight first (Qiao et al. 2019), which is then no sum of two."""

    def forward(self, input: Tensor) -> Tensor:
        spread, mean = torch.std_mean(self.weight, (1, 2, 3), keepdim=True)
        return nn.functional.conv2d(input, (self.weight - mean) / spread, self.bias, self.stride, self.padding)


class Refusing(nn.Linear):
    """Takes nothing but what has eleven rows."""

    def forward(self, input: Tensor) -> Tensor:
        assert len(input) == 11
        return super().forward(input)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("layer", "possible"),
    [
        (Padded(3, 5, 3, stride=2), True),
        (Standardised(3, 5, 3), False),
        (Refusing(3, 5), False),
        (nn.Linear(3, 5), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_of_somebodys_own_class_is_tried(layer: nn.Linear | nn.Conv2d, possible: bool, device: str) -> None:
    assert can_be_merged(copy.deepcopy(layer).to(device)) is possible


def test_an_adapter_does_whatever_else_its_layer_does() -> None:
    torch.manual_seed(0)
    layer = Padded(3, 5, 3, stride=2)
    other = with_adapter(layer, 2, 0.5)
    assert isinstance(other, Padded)
    assert other.weight is layer.weight
    other.lora_b.get_parameter("weight").data.normal_()
    answers = other(IMAGES)
    layer.weight.data = merged_weight(other)
    torch.testing.assert_close(layer(IMAGES), answers)


def test_first_values_follow_from_the_seed_and_nothing_is_drawn(plugins: Plugins) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    one, again, other = varied(), varied(), varied()
    torch.manual_seed(5)
    for backbone, seed in ((one, 3), (again, 3), (other, 4)):
        add_adapters(backbone, LoraConfig(rank=2), plugins, 12, seed)
    assert torch.equal(torch.rand(1), expected)
    values = [backbone.module.get_parameter("wide.lora_a.weight") for backbone in (one, again, other)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


@pytest.mark.parametrize("keys", [{"alpha": 2.0}, {"match": "all"}])
def test_what_does_nothing_without_a_rank_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"without lora\.rank there are no adapters"):
        LoraConfig.model_validate(keys)


def test_networks_without_such_layers_in_one_path_keep_their_statistics(plugins: Plugins) -> None:
    backbone = small()
    before = copy.deepcopy(backbone.module.state_dict())
    add_adapters(backbone, LoraConfig(rank=2), plugins, 16, seed=0)
    after = backbone.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert backbone.module.training


def test_they_train_as_pefts_do(plugins: Plugins) -> None:
    """The same network, the same first values: the same weights after steps of AdamW, and merged. peft 0.21's adapter
    of a convolution has neither its padding mode nor its dilation, so these are the usual ones."""
    peft = pytest.importorskip("peft")
    backbone = varied(mode="zeros", dilation=1)
    add_adapters(backbone, LoraConfig(rank=2, alpha=6.0), plugins, 12, seed=3)
    ours = backbone.module.eval()
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["stem", "wide", "inside"])
    theirs = peft.get_peft_model(varied(mode="zeros", dilation=1).module.eval(), config).eval()
    pairs = []
    for path in ("stem", "wide", "inside"):
        layer = theirs.base_model.model.get_submodule(path)
        for mine, name in (("lora_a", "lora_A"), ("lora_b", "lora_B")):
            parameter = ours.get_parameter(f"{path}.{mine}.weight")
            getattr(layer, name)["default"].weight.data.copy_(parameter.detach())
            pairs.append((parameter, getattr(layer, name)["default"].weight))
    for module, parameters in ((ours, [p for p, _ in pairs]), (theirs, [p for _, p in pairs])):
        optimizer = torch.optim.AdamW(parameters, lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(module(IMAGES), LABELS).backward()
            optimizer.step()
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)
    merged = theirs.merge_and_unload().state_dict()
    state = merged_state(ours)
    assert state.keys() == merged.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, merged[name], rtol=1e-3, atol=1e-5)
