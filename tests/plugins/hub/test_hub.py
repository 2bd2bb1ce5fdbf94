from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from ft import FtError
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.run.folder import Run
from ft_hub.build import HubSettings, build

HUBCONF = """
import torch
from torch import nn

dependencies = ["torch"]

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.block = nn.Conv2d(width, 6, 3, padding=1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 10))

    def forward(self, images):
        return self.classifier(self.pool(self.block(self.stem(images + self.token))))

def net(width=4):
    '''A small network.'''
    return Net(width)

def number():
    return 3

def failing():
    raise OSError("no such weights")

def conv():
    return nn.Sequential(nn.Conv2d(3, 2, 1))
"""


@pytest.fixture
def hubconf(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "hubconf.py").write_text(HUBCONF)
    return tmp_path / "checkout" / "hubconf.py"


def test_the_last_linear_layer_is_the_classifier_and_children_are_the_stages(hubconf: Path) -> None:
    backbone = build(f"{hubconf}:net", HubSettings())
    assert backbone.head_paths == ("classifier.2",)
    assert backbone.feature_dim == 5
    assert [(stage.name, stage.paths) for stage in backbone.stages] == [
        ("stem", ("stem", "token")),
        ("block", ("block",)),
        ("classifier.0", ("classifier.0",)),
    ]


def test_settings_reach_the_entry_point_and_name_the_classifier(hubconf: Path) -> None:
    backbone = build(f"{hubconf}:net", HubSettings(arguments={"width": 7}, head="classifier.0"))
    assert backbone.module.get_parameter("block.weight").shape[1] == 7
    assert (backbone.head_paths, backbone.feature_dim) == (("classifier.0",), 6)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("nowhere/hubconf.py:net", {}, "there is no hubconf.py at 'nowhere/hubconf.py'"),
        ("net", {}, "write hub:FOLDER/hubconf.py:ENTRY"),
        ("HERE:nett", {}, "failed: RuntimeError: Cannot find callable nett in hubconf"),
        ("HERE:number", {}, r"returned an object of type int; a torch\.nn\.Module is needed"),
        ("HERE:failing", {}, "failed: OSError: no such weights"),
        ("HERE:net", {"arguments": {"depth": 3}}, "failed: TypeError: .*'depth'"),
        ("HERE:net", {"head": "clasifier.2"}, r"no linear layer 'clasifier\.2' .*near it are classifier\.2"),
        ("HERE:conv", {}, "has no linear layer that could be its classifier"),
    ],
)
def test_what_cannot_be_built_is_told(name: str, settings: dict[str, Any], told: str, hubconf: Path) -> None:
    with pytest.raises(FtError, match=told):
        build(name.replace("HERE", str(hubconf)), HubSettings(**settings))


def test_a_run_freezes_and_trains_it(hubconf: Path, tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    config = tiny_config(backbone={"use": f"hub:{hubconf}:net", "min_image_size": 8}, freeze=["until:block"])
    _, report = finetune(config, plugins, Display())
    assert report.frozen_parameters == 1 + 3 * 4 * 9 + 8 + 4 * 6 * 9 + 6


def test_the_code_that_a_run_names_is_not_run_without_trust(
    hubconf: Path, tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny_config(backbone=f"hub:{hubconf}:net").model_dump(mode="json")
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(FtError, match=r"hubconf\.py:net', which would be run; if you trust it, add --trust-code"):
        Run(tmp_path).config(trust_code=False)
    assert Run(tmp_path).config(trust_code=True)


def test_its_models_are_not_listed_and_what_to_write_is_told(ft: Callable[..., Result]) -> None:
    assert not [line for line in ft("models", "*").stdout.splitlines() if line.strip().startswith("hub:")]
    assert "hub:FOLDER/hubconf.py:ENTRY" in ft("models").stdout
    result = ft("plan", "--backbone", "hub", fails=True)
    assert "hub:FOLDER/hubconf.py:ENTRY" in str(result.exception)
