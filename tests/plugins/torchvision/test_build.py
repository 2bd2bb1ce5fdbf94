from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from faults.repetitions import FULL
from ft import Backbone, FtError
from ft.model.state_dict import WeightTensors, load_into
from ft_torchvision.build import TorchvisionSettings, build
from ft_torchvision.catalogue import models
from ft_torchvision.families import family_of

pytestmark = [pytest.mark.slow, pytest.mark.faults]  # a network of each family, or every one

Build = Callable[..., Backbone]
EVERY = models(TorchvisionSettings())
ALL = EVERY if FULL else list({family_of(name).models: name for name in EVERY}.values())  # one of each family
AUX = {"inception_v3": (("AuxLogits.fc",), (768,), 0.4), "googlenet": (("aux1.fc2", "aux2.fc2"), (1024, 1024), 0.3)}


def forward(backbone: Backbone, side: int, train: bool) -> torch.Tensor | tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return backbone.module.train(train)(torch.empty(2, 3, side, side, device="meta"))


@pytest.mark.parametrize("model_name", ALL)
def test_it_builds_without_memory(on_meta: Build, model_name: str) -> None:
    module = on_meta(model_name).module
    assert {t.device.type for t in (*module.parameters(), *module.buffers())} == {"meta"}


@pytest.mark.parametrize("model_name", ALL)
def test_the_head_is_the_classifier(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    head = backbone.module.get_submodule(backbone.head_paths[0])
    if backbone.head_form == "map":
        assert isinstance(head, nn.Conv2d)
        assert (head.in_channels, head.out_channels) == (backbone.feature_dim, 1000)
    else:
        assert isinstance(head, nn.Linear)
        assert (head.in_features, head.out_features) == (backbone.feature_dim, 1000)
    assert (backbone.head_form == "map") == model_name.startswith("squeezenet")
    assert (backbone.pooled_after is not None) == model_name.startswith("squeezenet")


@pytest.mark.parametrize("model_name", ALL)
def test_only_inception_and_googlenet_have_auxiliary_classifiers(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    paths, dims, weight = AUX.get(model_name, ((), (), 0.0))
    assert (backbone.head_paths[1:], backbone.aux_dims, backbone.aux_loss_weight) == (paths, dims, weight)
    assert backbone.unused_weights == ()


TUTORIAL = {
    "resnet18": ("fc", 512, 224),
    "alexnet": ("classifier.6", 4096, 224),
    "vgg16": ("classifier.6", 4096, 224),
    "squeezenet1_0": ("classifier.1", 512, 224),
    "densenet161": ("classifier", 2208, 224),
    "inception_v3": ("fc", 2048, 299),
    "googlenet": ("fc", 1024, 224),
    "shufflenet_v2_x1_0": ("fc", 1024, 224),
    "mobilenet_v2": ("classifier.1", 1280, 224),
    "mobilenet_v3_large": ("classifier.3", 1280, 224),
    "mobilenet_v3_small": ("classifier.3", 1024, 224),
    "resnext50_32x4d": ("fc", 2048, 224),
    "wide_resnet50_2": ("fc", 2048, 224),
    "mnasnet1_0": ("classifier.1", 1280, 224),
}


@pytest.mark.parametrize("model_name", TUTORIAL)
def test_the_usual_networks_have_their_known_heads(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    size = backbone.preprocessing.crop_size
    assert (backbone.head_paths[0], backbone.feature_dim, size) == TUTORIAL[model_name]
    assert len(backbone.head_paths) == 1 + len(backbone.aux_dims)


@pytest.mark.parametrize("model_name", AUX)
def test_in_train_mode_logits_come_first_and_auxiliary_logits_after(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    outputs = forward(backbone, backbone.min_image_size, train=True)
    assert [tuple(each.shape) for each in outputs] == [(2, 1000)] * (1 + len(backbone.aux_dims))
    assert forward(backbone, backbone.min_image_size, train=False).shape == (2, 1000)


@pytest.mark.parametrize("model_name", AUX)
def test_auxiliary_classifiers_can_be_dropped(on_meta: Build, model_name: str) -> None:
    whole, dropped = on_meta(model_name), on_meta(model_name, aux="drop")
    assert (dropped.head_paths, dropped.aux_dims, dropped.aux_loss_weight) == (("fc",), (), 0.0)
    assert forward(dropped, 96, train=True).shape == (2, 1000)
    tensors = whole.module.state_dict()
    needed = {n: t for n, t in tensors.items() if n.partition(".")[0] not in dropped.unused_weights}
    assert len(needed) < len(tensors)
    dropped.module.load_state_dict(needed, strict=True)


@pytest.mark.parametrize("model_name", AUX)
def test_pixels_are_rescaled_as_the_published_weights_expect(on_meta: Build, model_name: str) -> None:
    assert on_meta(model_name).module.transform_input is True


SMALLEST = {
    "alexnet": 63,
    "convnext_tiny": 32,
    "densenet121": 29,
    "googlenet": 15,
    "inception_v3": 299,  # the auxiliary classifier pools 5 x 5 from what must be 17 x 17
    "squeezenet1_0": 21,
    "squeezenet1_1": 17,
    "swin_t": 4,
    "swin_v2_t": 4,
    "vgg11": 32,
}


@pytest.mark.parametrize("model_name", SMALLEST)
def test_the_smallest_image_size_is_the_smallest_that_works(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    assert backbone.min_image_size == SMALLEST[model_name]
    forward(backbone, backbone.min_image_size, train=True)
    with pytest.raises(RuntimeError):
        forward(backbone, backbone.min_image_size - 1, train=True)


def test_inception_without_its_auxiliary_classifier_takes_smaller_images(on_meta: Build) -> None:
    backbone = on_meta("inception_v3", aux="drop")
    assert backbone.min_image_size == 75
    forward(backbone, 75, train=True)
    with pytest.raises(RuntimeError):
        forward(backbone, 74, train=True)


@pytest.mark.parametrize("model_name", ["efficientnet_b0", "mnasnet1_0", "mobilenet_v3_small", "regnet_y_400mf"])
def test_networks_without_a_smallest_size_take_any(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    assert (backbone.min_image_size, backbone.fixed_image_size) == (1, None)
    forward(backbone, 1, train=True)


@pytest.mark.parametrize(("model_name", "side"), [("vit_b_16", 224), ("vit_h_14", 518), ("maxvit_t", 224)])
def test_transformers_are_built_for_the_size_of_their_default_weights(
    on_meta: Build, model_name: str, side: int
) -> None:
    backbone = on_meta(model_name)
    assert backbone.fixed_image_size == backbone.preprocessing.crop_size == side


def test_a_vit_can_be_built_for_the_size_of_other_weights(on_meta: Build) -> None:
    backbone = on_meta("vit_b_16", image_size=384)
    assert backbone.fixed_image_size == 384
    assert (backbone.preprocessing.crop_size, backbone.preprocessing.resize_size) == (384, round(256 * 384 / 224))
    assert forward(backbone, 384, train=True).shape == (2, 1000)


def test_a_maxvit_of_twice_the_size_takes_the_same_weights(on_meta: Build) -> None:
    backbone = on_meta("maxvit_t", image_size=448)
    backbone.module.load_state_dict(on_meta("maxvit_t").module.state_dict(), strict=True)
    assert forward(backbone, 448, train=False).shape == (2, 1000)


@pytest.mark.parametrize(
    ("model_name", "settings", "said"),
    [
        ("vit_b_16", {"image_size": 225}, "multiples of 16 px, and 225 is none; the nearest is --set .*=224"),
        ("vit_h_14", {"image_size": 3}, "the nearest is --set backbone.image_size=14"),
        ("maxvit_t", {"image_size": 384}, "multiples of 224 px, and 384 is none; the nearest is --set .*=448"),
        ("resnet18", {"image_size": 128}, "does not apply to resnet18, .*; use --image-size"),
        ("resnet18", {"aux": "drop"}, "does not apply to resnet18, which has no auxiliary classifiers"),
        ("resnt18", {}, "no torchvision model named 'resnt18'. Did you mean 'resnet18'?"),
    ],
)
def test_what_cannot_be_built_says_why(model_name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(FtError, match=said):
        build(model_name, TorchvisionSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("model_name", "old", "new"),
    [
        (
            "densenet121",
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        (
            "densenet121",
            "features.denseblock4.denselayer16.conv.2.weight",
            "features.denseblock4.denselayer16.conv2.weight",
        ),
        (
            "vit_b_32",
            "encoder.layers.encoder_layer_0.mlp.linear_1.weight",
            "encoder.layers.encoder_layer_0.mlp.0.weight",
        ),
        ("vit_b_32", "encoder.layers.encoder_layer_11.mlp.linear_2.bias", "encoder.layers.encoder_layer_11.mlp.3.bias"),
    ],
)
def test_names_in_older_weight_files_become_the_modules_own(
    on_meta: Build, model_name: str, old: str, new: str
) -> None:
    backbone = on_meta(model_name)
    assert backbone.rename_weights is not None
    assert backbone.rename_weights(old) == new
    assert new in backbone.module.state_dict()
    assert all(backbone.rename_weights(name) == name for name in backbone.module.state_dict())


def test_mnasnet_takes_tensors_that_carry_no_version() -> None:
    backbone = build("mnasnet0_5", TorchvisionSettings())
    tensors = {name: tensor + 1 for name, tensor in backbone.module.state_dict().items()}
    load_into(backbone, WeightTensors(tensors), "a safetensors file")
    assert torch.equal(backbone.module.state_dict()["layers.0.weight"], tensors["layers.0.weight"])


def test_random_weights_are_a_usable_initialisation() -> None:
    torch.manual_seed(0)
    backbone = build("googlenet", TorchvisionSettings())
    with torch.no_grad():
        logits = backbone.module.eval()(torch.randn(2, 3, 64, 64))
    assert torch.isfinite(logits).all()
    assert logits.std() > 0
