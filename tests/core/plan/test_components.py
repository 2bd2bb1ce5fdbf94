from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ft import FtError
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"head": {"use": "mlp", "hiden": [3]}}, "unknown setting 'head.hiden'. Did you mean 'hidden'?"),
        ({"data": {"use": "demo", "sise": 3}}, "unknown setting 'data.sise'. Did you mean 'size'?"),
        ({"freeze": {"use": "all", "x": 1}}, "unknown setting 'freeze.x'. It takes no settings"),
        (
            {"freeze": ["all", {"use": "fisher:1", "imags": 1}]},
            "unknown setting 'freeze.1.imags'. Did you mean 'images'?",
        ),
        ({"freeze": "all", "train": {"use": "fisher:1", "images": 0}}, "setting 'train.images' cannot be 0"),
        ({"groups": [{"match": {"use": "all", "x": 1}, "lr": 1}]}, "unknown setting 'groups.match.x'"),
        ({"weights": {"use": "local:net.pth", "kye": "ema"}}, "unknown setting 'weights.kye'"),
        ({"weights": {"use": "none", "key": "ema"}}, "weights.key has no effect with weights 'none'"),
        ({"head": "mlp:256"}, "head 'mlp' takes settings, not an argument; write --set head.KEY=VALUE"),
        (
            {"training": {"optimizer": "sgd:0.5"}},
            "optimizer 'sgd' takes settings, not an argument; write --set training.optimizer.KEY=VALUE",
        ),
        (
            {"images": {"augment": "flip:0.5"}},
            "augmentation 'flip' takes settings, not an argument; write --set images.augment.KEY=VALUE",
        ),
        ({"trackers": "csv:a.csv"}, "tracker 'csv' takes settings, not an argument; write --set trackers.KEY=VALUE"),
        ({"head": "mpl"}, "no head builder named 'mpl'. Did you mean 'mlp'?"),
    ],
)
def test_a_setting_that_a_component_does_not_take_is_told_before_anything_is_fetched(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], told: str
) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("weights are fetched")

    monkeypatch.setattr("ft.model.backbone.fetch_weights", fetch)
    tree = tiny_config().model_dump(mode="json")
    config = load_config(flags={**tree, "weights": "local:net.pth", **keys})
    with pytest.raises(FtError) as error:
        prepare(config, plugins, Display(), "pretrained")
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("tensors", ["empty", "pretrained"])
def test_a_plan_refuses_what_a_run_refuses(tiny_config: MakeConfig, plugins: Plugins, tensors: Any) -> None:
    config = tiny_config(weights={"use": "local:net.pth", "nope": 1})
    with pytest.raises(FtError, match=r"unknown setting 'weights\.nope'"):
        prepare(config, plugins, Display(), tensors)
