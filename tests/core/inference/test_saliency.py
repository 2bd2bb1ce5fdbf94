"""Maps of where a network looked: equal to what the papers' formulas give, worked out in another way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones import positional, small
from faults.repetitions import FULL
from ft import Backbone, FtError, Stage
from ft.inference.saliency import as_shares, saliency
from ft.inference.salient_layer import Layer, find_layer

IMAGES = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))
PICKED = torch.tensor([4, 0, 9])


class Block(nn.Module):
    """A block of a vision transformer that computes attention in one piece of torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        seen = self.norm1(tokens)
        tokens = tokens + self.attention(seen, seen, seen, need_weights=False)[0]
        return tokens + self.mlp(self.norm2(tokens))


def in_one_piece() -> nn.Module:
    """A block that torch computes without calling the layers inside, where nothing is differentiated."""
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)


class Tokens(nn.Module):
    """A vision transformer with `extra` tokens of no place before the 3 x 3 others, which answers by the first one, or
    where there is none by the mean."""

    def __init__(self, extra: int, whole: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.extra = nn.Parameter(torch.randn(1, extra, 8))
        self.blocks = nn.Sequential(*[in_one_piece() if whole else Block(8) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        places = self.patches(images).flatten(2).transpose(1, 2)
        tokens = self.norm(self.blocks(torch.cat([self.extra.expand(len(images), -1, -1), places], 1)))
        return self.head(tokens[:, 0] if self.extra.shape[1] else tokens.mean(1))


class Rows(nn.Module):
    """As Swin: its stages give [N, H, W, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mlp, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.mlp(self.patches(images).permute(0, 2, 3, 1)).relu().mean((1, 2)))


def transformer(module: nn.Module, *paths: str) -> Backbone:
    stages = (Stage("patches", ("patches",)), Stage("last", paths))
    return Backbone(module, head_paths=("head",), stages=stages, feature_dim=8)


def vgg_like() -> Backbone:
    """A convolution, its activation in place and a pooling beside each other, and a last stage that has no places."""
    features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))
    module = nn.Sequential(features, nn.Flatten(), nn.Linear(216, 12), nn.ReLU(), nn.Linear(12, 10))
    stages = (Stage("features", ("0.0",)), Stage("2", ("2",)))
    return Backbone(module, head_paths=("4",), stages=stages, feature_dim=12)


NETWORKS: dict[str, tuple[Any, Layer]] = {
    "cnn": (small, Layer("layer2", "map", 12)),
    "activation": (vgg_like, Layer("0.1", "map", 12)),
    "positional": (positional, Layer("features", "map", 12)),
    "class token": (
        lambda: transformer(Tokens(1), "blocks.1", "norm"),
        Layer("blocks.1.norm1", "tokens", 3),
    ),
    "registers": (lambda: transformer(Tokens(4), "blocks.1", "norm"), Layer("blocks.1.norm1", "tokens", 3)),
    "mean of tokens": (lambda: transformer(Tokens(0), "blocks.1", "norm"), Layer("norm", "tokens", 3)),
    "blocks in one piece": (
        lambda: transformer(Tokens(1, whole=True), "blocks.1", "norm"),
        Layer("blocks.1.norm1", "tokens", 3),
    ),
    "rows": (lambda: transformer(Rows(), "mlp"), Layer("mlp", "rows", 3)),
}


def built(name: str) -> tuple[Backbone, Layer]:
    torch.manual_seed(0)
    make, layer = NETWORKS[name]
    return make(), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_that_has_places_is_found(name: str) -> None:
    backbone, layer = built(name)
    assert find_layer(backbone.module, backbone.stages, torch.rand(2, 3, 12, 12)) == layer
    assert layer.method == ("Grad-CAM" if layer.form == "map" else "LayerCAM")


@pytest.mark.faults
@pytest.mark.parametrize("name", NETWORKS if FULL else ["class token", "mean of tokens", "rows", "activation"])
def test_maps_are_what_the_formulas_say(name: str) -> None:
    """The gradients by finite differences of double precision: each channel and place moved a little by itself."""
    backbone, layer = built(name)
    module = backbone.module.double().eval()
    found = saliency(module, layer, IMAGES.double(), lambda outputs: PICKED)
    for number in range(len(IMAGES)):
        activation, gradient = _by_differences(module, layer.path, IMAGES[number : number + 1].double(), PICKED[number])
        if layer.form == "tokens":  # [T, C], of which the last nine are the places, row by row
            activation, gradient = (t[-9:].reshape(3, 3, -1).permute(2, 0, 1) for t in (activation, gradient))
        elif layer.form == "rows":
            activation, gradient = (t.permute(2, 0, 1) for t in (activation, gradient))
        weights = gradient.clamp(min=0) if layer.form != "map" else gradient.flatten(1).mean(1)[:, None, None]
        expected = (weights * activation).sum(0).clamp(min=0)
        assert torch.allclose(found.maps[number].double(), expected, atol=1e-6 + 1e-4 * float(expected.max()))
    assert torch.allclose(found.outputs.double(), module(IMAGES.double()), atol=1e-5)


def _by_differences(module: nn.Module, path: str, image: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer gives of an image, and the derivative of an output by each number of it."""
    kept: list[Tensor] = []
    layer = module.get_submodule(path)

    def read(_: Any, __: Any, given: Tensor) -> None:
        kept.append(given.clone())

    def moved(by: Tensor) -> Tensor:
        handle = layer.register_forward_hook(lambda *given: given[2] + by)
        with torch.enable_grad():  # else torch computes some layers in one piece, without hooks
            value = module(image)[0, output].detach()
        handle.remove()
        return value

    handle = layer.register_forward_hook(read)
    module(image)
    handle.remove()
    activation = kept[-1].detach()
    gradient = torch.zeros_like(activation)
    step = torch.zeros_like(activation)
    for place in range(activation.numel()):
        step.view(-1)[place] = 1e-5
        gradient.view(-1)[place] = (moved(step) - moved(-step)) / 2e-5
        step.view(-1)[place] = 0
    return activation[0], gradient[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_left_as_it_was(name: str) -> None:
    backbone, layer = built(name)
    module = backbone.module.train()
    next(module.children()).eval()
    parameter = next(module.parameters())
    parameter.grad = torch.ones_like(parameter)
    modes = [each.training for each in module.modules()]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with torch.inference_mode():
        find_layer(module, backbone.stages, torch.rand(2, 3, 12, 12))
        saliency(module, layer, IMAGES, lambda outputs: PICKED)
    assert [each.training for each in module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    assert all(other.grad is None for other in module.parameters() if other is not parameter)


def test_images_of_a_batch_do_not_depend_on_each_other() -> None:
    backbone, layer = built("class token")
    together = saliency(backbone.module, layer, IMAGES, lambda outputs: PICKED).maps
    for number in range(3):
        picked = PICKED[number : number + 1]
        alone = saliency(backbone.module, layer, IMAGES[number][None], lambda outputs, picked=picked: picked).maps
        assert torch.allclose(alone[0], together[number], atol=1e-7)


def test_a_network_that_has_no_places_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(432, 8), nn.Linear(8, 10))
    backbone = Backbone(module, head_paths=("2",), stages=(Stage("all", ("1",)),), feature_dim=8)
    with pytest.raises(FtError, match=r"no map of where this network looks in images of 12 px: .*--image-size"):
        find_layer(module, backbone.stages, torch.rand(2, 3, 12, 12))


def test_shares_have_1_as_their_maximum_and_an_empty_map_stays_empty() -> None:
    maps = torch.zeros(3, 4, 4)
    maps[0, 1, 2], maps[1] = 1e-12, torch.rand(4, 4) * 50
    shares = as_shares(maps, 16)
    assert shares.amax((1, 2)).tolist() == [1, 1, 0]
    assert shares.min() == 0
    assert (shares[0] > 0).nonzero().float().mean(0).tolist() == [5.5, 9.5]  # the middle of a place of 4 x 4 pixels
