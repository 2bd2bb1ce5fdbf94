"""Images that are drawn more often than others: the same ones, however they come to the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display

MakeConfig = Callable[..., Config]
BALANCED: dict[str, Any] = {"task": {"use": "classification", "sampler": "balanced"}, "images__augment": "none"}


@pytest.mark.parametrize("freeze", [["all"], []], ids=["features", "images"])
def test_what_is_kept_is_drawn_as_what_is_computed_anew(
    freeze: list[str], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Any
) -> None:
    runs = {}
    for promise in ("exact", "off"):
        config = tiny_config(freeze=freeze, cache__promise=promise, run_dir=tmp_path / promise, **BALANCED)
        run, _ = finetune(config, plugins, Display())
        runs[promise] = (run.path / "model.safetensors").read_bytes()
    assert runs["exact"] == runs["off"]


def test_what_takes_no_steps_draws_nothing_and_says_so(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], training__optimizer="lbfgs", **BALANCED)
    with pytest.raises(FtError, match=r"task 'classification' is to draw some images more often .* --optimizer lbfgs"):
        prepare(config, plugins, Display())
