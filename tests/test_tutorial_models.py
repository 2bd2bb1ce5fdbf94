"""The networks of the tutorial that this project comes from, trained end to end: one step each, on tiny images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from faults.repetitions import FULL
from ft.config.loading import load_config
from ft.extension.installed import Plugins, implementation, read_settings
from ft.extension.references import parse_reference
from ft.finetune import finetune
from ft.machine.display import Display

QUICK = ("resnet18", "googlenet")
ALIKE = (
    "inception_v3",
    "mobilenet_v2",
    "squeezenet1_0",
    "alexnet",
    "densenet161",
    "vgg16",
    "inception_v3 without aux",
    "googlenet without aux",
)
ALIKE += (
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "shufflenet_v2_x1_0",
    "mnasnet1_0",
)


@pytest.mark.faults
@pytest.mark.parametrize("model", (*QUICK, *ALIKE) if FULL else QUICK)
def test_a_network_of_the_tutorial_trains_with_a_new_head(model: str, plugins: Plugins, tmp_path: Path) -> None:
    name, _, without_aux = model.partition(" ")
    component = plugins.get("backbone", parse_reference("torchvision"))
    keys = {"aux": "drop"} if without_aux else {}
    with torch.device("meta"):
        backbone = implementation(component, "build")(name, read_settings(component, keys, "backbone"))
    config = load_config(
        flags={
            "backbone": {"use": f"torchvision:{name}", **keys},
            "weights": "none",
            "freeze": ["depth:1"],
            "data": {"use": "demo", "images_per_class": 2, "size": 32},
            "split.val": 0.5,
            "images.size": max(32, backbone.min_image_size),
            "machine.precision": "fp32",
            "machine.device": "cpu",
            "machine.workers": 0,
            "training.epochs": 1,
            "training.batch_size": 4,
            "training.optimizer": "sgd",
            "run_dir": tmp_path / "run",
        }
    )
    run, report = finetune(config, plugins, Display())
    assert json.loads((run.path / "plan.json").read_text())["steps_per_epoch"] == 1
    heads = backbone.head_paths
    assert len(report.head) == len(heads) == (1 if without_aux or not backbone.aux_dims else 1 + len(backbone.aux_dims))
    saved = load_file(run.path / "model.safetensors")
    for path in heads:
        assert saved[f"{path}.weight"].shape[0] == 4
    if name == "squeezenet1_0":
        assert saved["classifier.1.weight"].shape == (4, 512, 1, 1)
