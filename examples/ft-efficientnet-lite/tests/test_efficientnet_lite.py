import hashlib
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import torch
from ft_efficientnet_lite.build import build
from ft_efficientnet_lite.published import facts, models, weights
from torch.utils.flop_counter import FlopCounterMode

from ft import Backbone, FtError, Settings
from ft.testing import BackboneConformance

ALL = ("lite0", "lite1", "lite2")


class TestConformance(BackboneConformance):
    component = "backbone:efficientnet-lite"
    models = ("lite0",)


def weight_file(model_name: str) -> Path:
    """Where the installed package of the weights has them; the test is skipped when it is not installed."""
    entry = weights(model_name)[0]
    package = entry.source.removeprefix("pip:")
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    return next(Path(str(file.locate())) for file in files if file.name == entry.file_name)


def on_meta(model_name: str) -> Backbone:
    with torch.device("meta"):
        return build(model_name, Settings())


def test_ft_finds_it_by_its_entry_point(ft_cli: Callable[..., Any]) -> None:
    assert "ft-efficientnet-lite " in ft_cli("describe", "backbone:efficientnet-lite").stdout
    listed = json.loads(ft_cli("models", "efficientnet-lite:*", "--json").stdout)
    assert {each["name"] for each in listed} == {f"efficientnet-lite:{name}" for name in models(Settings())}
    assert models(Settings()) == ALL


@pytest.mark.parametrize("model_name", ALL)
def test_stages_hold_every_parameter_outside_the_head_once_and_in_order(model_name: str) -> None:
    backbone = on_meta(model_name)
    held = [name for stage in backbone.stages for name in backbone.parameters_under(*stage.paths)]
    in_order = [name for name in backbone.parameter_names() if not name.startswith(("_conv_head", "_bn1"))]
    assert held == [*in_order, "_conv_head.weight", "_bn1.weight", "_bn1.bias"]


@pytest.mark.parametrize(("model_name", "blocks"), [("lite0", (1, 2, 2, 3, 3, 4, 1)), ("lite1", (1, 3, 3, 4, 4, 5, 1))])
def test_a_stage_is_a_row_of_the_architecture(model_name: str, blocks: tuple[int, ...]) -> None:
    stem, *stages, head = on_meta(model_name).stages
    assert (stem.name, head.name) == ("stem", "conv_head")
    assert [stage.name for stage in stages] == [f"stage{i}" for i in range(1, 8)]
    assert tuple(len(stage.paths) for stage in stages) == blocks


@pytest.mark.parametrize("model_name", ALL)
def test_it_classifies_images_of_the_published_and_of_the_smallest_size(model_name: str) -> None:
    backbone = on_meta(model_name)
    head = backbone.module.get_submodule("_fc")
    assert (backbone.head_paths, backbone.feature_dim, head.in_features) == (("_fc",), 1280, 1280)
    for size in (backbone.preprocessing.crop_size, backbone.min_image_size):
        assert backbone.module(torch.empty(2, 3, size, size, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize(("model_name", "size"), [("lite0", 224), ("lite1", 240), ("lite2", 260)])
def test_preprocessing_is_what_the_authors_used(model_name: str, size: int) -> None:
    preprocessing = weights(model_name)[0].preprocessing
    assert (preprocessing.crop_size, preprocessing.resize_size) == (size, size + 32)
    assert preprocessing.interpolation == "bicubic"
    for value in (0, 127, 255):
        mean, std = preprocessing.mean[0], preprocessing.std[0]
        assert (value / 255 - mean) / std == pytest.approx((value - 127) / 128)


@pytest.mark.parametrize("model_name", ALL)
def test_the_facts_are_those_of_the_network(model_name: str) -> None:
    backbone, known = on_meta(model_name), facts(model_name)
    side = backbone.preprocessing.crop_size
    with FlopCounterMode(display=False) as counter:
        backbone.module.eval()(torch.empty(1, 3, side, side, device="meta"))
    assert known.parameters == sum(parameter.numel() for parameter in backbone.module.parameters())
    assert known.flops == counter.get_total_flops() // 2  # a multiply-add is two there
    assert f"top-1 {known.accuracy} %" in weights(model_name)[0].note


@pytest.mark.parametrize("model_name", ALL)
def test_the_packaged_file_is_the_one_that_is_named(model_name: str) -> None:
    entry, content = weights(model_name)[0], weight_file(model_name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.size, entry.sha256)


@pytest.mark.parametrize("model_name", ALL)
def test_with_the_real_weights_it_answers_as_the_original_package_does(model_name: str) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    path = weight_file(model_name)
    original = EfficientNet.from_pretrained(f"efficientnet-{model_name}", weights_path=str(path)).eval()
    backbone = build(model_name, Settings())
    backbone.module.load_state_dict(torch.load(path, weights_only=True))
    ramp = torch.linspace(-1, 1, 3 * 128 * 128).reshape(1, 3, 128, 128)
    with torch.no_grad():
        expected, logits = original(ramp), backbone.module.eval()(ramp)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    assert logits.std() > 0.1


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(FtError, match=r"no EfficientNet-Lite named 'lite9'\. Did you mean 'lite\d'\? There are: lite0"):
        build("lite9", Settings())
