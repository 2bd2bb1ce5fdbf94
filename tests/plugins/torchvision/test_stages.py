from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from faults.repetitions import FULL
from ft import Backbone
from ft_torchvision.build import TorchvisionSettings
from ft_torchvision.catalogue import models
from ft_torchvision.families import FAMILIES, family_of

pytestmark = [pytest.mark.slow, pytest.mark.faults]  # a network of each family, or every one

Build = Callable[..., Backbone]
EVERY = models(TorchvisionSettings())
ALL = EVERY if FULL else list({family_of(name).models: name for name in EVERY}.values())  # one of each family
ONE_OF_EACH = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)


def names(backbone: Backbone) -> list[str]:
    return [stage.name for stage in backbone.stages]


@pytest.mark.parametrize("model_name", ALL)
def test_stages_hold_every_parameter_outside_the_head_once(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    held = [name for stage in backbone.stages for name in backbone.parameters_under(*stage.paths)]
    assert sorted(held) == sorted(backbone.parameter_names())


@pytest.mark.parametrize("model_name", ALL)
def test_every_path_of_a_stage_holds_parameters_and_every_stage_has_its_own_name(
    on_meta: Build, model_name: str
) -> None:
    backbone = on_meta(model_name)
    assert all(backbone.parameters_under(path) for stage in backbone.stages for path in stage.paths)
    assert len(set(names(backbone))) == len(backbone.stages)


@pytest.mark.parametrize("model_name", ONE_OF_EACH)
def test_stages_come_in_the_order_in_which_they_run(on_meta: Build, model_name: str) -> None:
    backbone = on_meta(model_name)
    stage_of = {
        name: number for number, stage in enumerate(backbone.stages) for name in backbone.parameters_under(*stage.paths)
    }
    ran: list[int] = []

    def note(path: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda *_: ran.append(stage_of[path]))

    first = {name.rpartition(".")[0]: name for name in stage_of}
    handles = [note(first[path], m) for path, m in backbone.module.named_modules() if path in first]
    size = backbone.preprocessing.crop_size
    with torch.no_grad():
        backbone.module.train()(torch.empty(2, 3, size, size, device="meta"))
    for handle in handles:
        handle.remove()
    assert ran == sorted(ran)
    assert set(ran) == set(range(len(backbone.stages)))


def test_one_of_each_is_one_of_each_family() -> None:
    assert {family_of(model_name).models for model_name in ONE_OF_EACH} == {family.models for family in FAMILIES}


@pytest.mark.parametrize(
    ("model_name", "expected"),
    [
        ("resnet50", "stem layer1 layer2 layer3 layer4"),
        ("vgg16", "block1 block2 block3 block4 block5 classifier.0 classifier.3"),
        ("alexnet", "features.0 features.3 features.6 features.8 features.10 classifier.1 classifier.4"),
        ("densenet161", "stem denseblock1 denseblock2 denseblock3 denseblock4"),
        ("convnext_tiny", "stem stage1 stage2 stage3 stage4"),
        ("swin_v2_t", "stem stage1 stage2 stage3 stage4"),
        ("regnet_x_8gf", "stem " + " ".join(f"trunk_output.block{i}" for i in range(1, 5))),
        ("vit_l_16", "stem " + " ".join(f"encoder.layers.encoder_layer_{i}" for i in range(24))),
        ("efficientnet_b0", " ".join(f"features.{i}" for i in range(9))),
        ("mobilenet_v3_small", " ".join(f"features.{i}" for i in range(13)) + " classifier.0"),
        ("squeezenet1_1", "features.0 " + " ".join(f"features.{i}" for i in (3, 4, 6, 7, 9, 10, 11, 12))),
        ("mnasnet1_0", "stem " + " ".join(f"layers.{i}" for i in range(8, 15))),
    ],
)
def test_stages_are_called_what_people_call_them(on_meta: Build, model_name: str, expected: str) -> None:
    assert names(on_meta(model_name)) == expected.split()


def test_vgg_is_divided_at_its_poolings(on_meta: Build) -> None:
    assert on_meta("vgg16").stages[2].paths == ("features.10", "features.12", "features.14")


@pytest.mark.parametrize(
    ("model_name", "stage", "branch"),
    [
        ("inception_v3", "Mixed_6e", ("AuxLogits.conv0", "AuxLogits.conv1")),
        ("googlenet", "inception4a", ("aux1.conv", "aux1.fc1")),
        ("googlenet", "inception4d", ("aux2.conv", "aux2.fc1")),
    ],
)
def test_an_auxiliary_branch_belongs_to_the_stage_that_it_leaves(
    on_meta: Build, model_name: str, stage: str, branch: tuple[str, ...]
) -> None:
    paths = {each.name: each.paths for each in on_meta(model_name).stages}
    assert paths[stage] == (stage, *branch)


def test_a_stage_has_no_branch_when_the_auxiliary_classifier_is_dropped(on_meta: Build) -> None:
    backbone = on_meta("inception_v3", aux="drop")
    assert {each.name: each.paths for each in backbone.stages}["Mixed_6e"] == ("Mixed_6e",)
    held = [name for stage in backbone.stages for name in backbone.parameters_under(*stage.paths)]
    assert sorted(held) == sorted(backbone.parameter_names())
