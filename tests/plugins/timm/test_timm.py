"""`timm:`, built without fetching anything. What needs timm itself is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest
import torch
from click.testing import Result

import ft_timm.catalogue
from ft import Backbone, FtError
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft_timm.build import TimmSettings, build
from ft_timm.catalogue import facts, models, weights

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


def empty(model: str, **settings: int) -> Backbone:
    with torch.device("meta"):
        return build(model, TimmSettings(**settings))


@pytest.fixture
def no_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == "timm" else importlib.util.find_spec(name)

    monkeypatch.setattr(ft_timm.catalogue, "find_spec", find_spec)


def test_weights_are_the_pretrained_tags_the_default_first() -> None:
    entries = weights("resnet18")
    assert [entry.name for entry in entries][:4] == ["a1_in1k", "a2_in1k", "a3_in1k", "tv_in1k"]
    assert entries[0].url == "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    assert entries[0].file_name == "resnet18.a1_in1k.safetensors"


def test_preprocessing_is_that_of_the_pretrained_config() -> None:
    entries = {entry.name: entry for entry in weights("resnet18")}
    assert entries["a1_in1k"].preprocessing.resize_size == 235  # 224 / 0.95, rounded down
    assert entries["a1_in1k"].preprocessing.interpolation == "bicubic"
    assert entries["tv_in1k"].preprocessing.interpolation == "bilinear"
    assert weights("vit_base_patch16_224")[0].preprocessing.mean == (0.5, 0.5, 0.5)


def test_every_model_tells_how_many_parameters_it_has_and_whether_it_is_only_for_tests() -> None:
    listed = json.loads(ft_timm.catalogue.FILE.read_text(encoding="utf-8"))["models"]
    assert json.loads(ft_timm.catalogue.PARAMETERS_FILE.read_text(encoding="utf-8")).keys() == listed.keys()
    known = facts("resnet18")
    assert (known.parameters, known.flops, known.accuracy, known.for_tests) == (11_689_512, None, None, False)
    assert facts("test_vit").for_tests


@needs_timm
@pytest.mark.parametrize("model", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "test_vit"])
def test_parameters_are_those_that_timm_builds(model: str) -> None:
    from ft_timm.regenerate import parameters

    assert facts(model).parameters == parameters(model)


def test_an_unknown_model_is_told_with_the_nearest() -> None:
    with pytest.raises(FtError, match=r"no timm model named 'resnet81'\. Did you mean 'resnet"):
        weights("resnet81")


def test_without_timm_its_models_are_missing_and_only_who_asks_for_one_is_told(
    no_timm: None, ft: Callable[..., Result]
) -> None:
    listed = ft("models")
    assert "torchvision:resnet18" in listed.stdout
    assert "timm:" not in listed.stdout
    assert "not listed: the models of timm need timm: pip install 'ftkit[timm]'" in listed.stderr
    result = ft("plan", "--backbone", "timm:resnet18", fails=True)
    assert str(result.exception) == "the models of timm need timm: pip install 'ftkit[timm]'"


@needs_timm
def test_the_catalogue_is_what_timm_says() -> None:
    import timm

    known = set(timm.list_models(pretrained=True))
    named = [f"{model}.{entry.name}" for model in models(None) for entry in weights(model)]
    assert len(named) > 1500
    gone = [name for name in named if name not in known]
    assert len(gone) < len(named) / 50  # another version of timm may have dropped a few
    for name in ("resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "convnext_atto.d2_in1k"):
        config = timm.get_pretrained_cfg(name)
        entry = next(e for e in weights(name.partition(".")[0]) if name.endswith(f".{e.name}"))
        assert entry.preprocessing.mean == config.mean
        assert entry.preprocessing.crop_size == config.input_size[-1]
        assert entry.num_classes == config.num_classes
        assert f"timm/{name}" == config.hf_hub_id


@needs_timm
@pytest.mark.parametrize(
    ("model", "head", "features", "stages", "pool"),
    [
        ("resnet18", "fc", 512, ["stem", "layer1", "layer2", "layer3", "layer4"], "global_pool.pool"),
        ("vit_tiny_patch16_224", "head", 192, ["stem", *(f"blocks.{i}" for i in range(12))], ""),
        ("convnext_atto", "head.fc", 320, ["stem", *(f"stages.{i}" for i in range(4)), "head.norm"],
         "head.global_pool.pool"),
        ("mobilenetv3_small_050", "classifier", 1024, ["stem", *(f"blocks.{i}" for i in range(6)), "conv_head"], ""),
        ("caformer_s18", "head.fc.fc2", 2048, ["stem", "stages", "head.norm"], ""),
        ("coat_lite_tiny", "head", 320, None, ""),
    ],
)  # fmt: skip
def test_stages_follow_the_group_matcher(
    model: str, head: str, features: int, stages: list[str] | None, pool: str
) -> None:
    backbone = empty(model)
    assert (backbone.head_paths, backbone.feature_dim, backbone.pool_path) == ((head,), features, pool)
    assert backbone.pooled_after == (() if backbone.head_form == "map" else None)
    assert stages is None or [stage.name for stage in backbone.stages] == stages
    held = [name for stage in backbone.stages for name in backbone.parameters_under(*stage.paths)]
    assert sorted(held) == sorted(backbone.parameter_names())


@needs_timm
def test_weights_without_a_classifier_get_one_to_replace() -> None:
    assert weights("vit_small_patch14_dinov2")[0].num_classes == 0
    assert empty("vit_small_patch14_dinov2").feature_dim == 384


@needs_timm
def test_a_model_for_one_image_size_can_be_built_for_another() -> None:
    assert empty("vit_tiny_patch16_224").fixed_image_size == 224
    backbone = empty("vit_tiny_patch16_224", image_size=96)
    assert backbone.fixed_image_size == backbone.preprocessing.crop_size == 96
    assert backbone.module(torch.zeros(1, 3, 96, 96, device="meta")).shape == (1, 1000)
    with pytest.raises(FtError, match="does not apply to resnet18, which takes images of any size; use --image-size"):
        empty("resnet18", image_size=96)


@needs_timm
def test_a_model_that_the_installed_timm_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timm.is_model", lambda name: False)
    with pytest.raises(FtError, match=r"timm .* has no model 'resnet18'; try: pip install --upgrade timm"):
        empty("resnet18")


@needs_timm
def test_a_run_can_be_planned(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    plan = prepare(tiny_config(backbone="timm:test_resnet", freeze=["all"], images__size=64), plugins, Display()).plan
    assert plan.head == ("fc: Linear(96 → 4) replaces Linear(96 → 1000)",)
    assert plan.cache.promise == "exact"
