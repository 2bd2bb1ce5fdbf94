"""A freezing strategy that needs data decides once, on real weights, and a run that goes on keeps its decision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backbones import small
from ft.config.schema import ComponentConfig, Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.model.freezing import choose_frozen, select_parameters
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]

LOOKS = """
import torch

class Looks:
    '''Freezes the stem, unless the first layer's weights are what the network began with.'''
    needs_data = True

    def select(self, backbone, argument, settings, batches):
        module = backbone.module
        seen = [(tuple(images.shape), labels.tolist()) for images, labels in batches]
        again = [(tuple(images.shape), labels.tolist()) for images, labels in batches]
        LOG.append((seen == again, seen, module.training, tuple(module.fc.weight.shape)))
        score = module.get_parameter("stem.0.weight").abs().sum().item()
        LOG[-1] += (score,)
        return set(backbone.parameters_under("stem"))

LOG = []
"""


@pytest.fixture
def looks(tmp_path: Path) -> str:
    (tmp_path / "looks.py").write_text(LOOKS)
    return f"{tmp_path / 'looks.py'}:Looks"


def test_it_gets_the_training_images_in_eval_mode_with_the_new_head(
    looks: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    plan = prepare(tiny_config(freeze=[looks]), plugins, Display()).plan
    (same_again, seen, training, head, score) = _log(looks)[0]
    assert same_again
    assert not training
    assert head == (4, 8)
    assert score > 0  # ft plan has no values otherwise
    assert {shape[1:] for shape, _ in seen} == {(3, 16, 16)}
    assert sum(len(labels) for _, labels in seen) == plan.images["train"]
    assert {label for _, labels in seen for label in labels} == {0, 1, 2, 3}
    assert set(plan.frozen) == {"stem.0.weight", "stem.1.weight", "stem.1.bias"}
    assert list(plan.selected.values()) == [tuple(sorted(plan.frozen))]


def test_a_plan_and_a_run_decide_the_same(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=[{"use": "fisher:1", "images": 5}])
    planned = prepare(config, plugins, Display()).plan
    run, _ = finetune(config, plugins, Display())
    assert run.read_json("plan.json")["frozen"] == list(planned.frozen)


def test_a_run_that_goes_on_keeps_the_decision(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, Any] = {"freeze": [{"use": "fisher:1", "images": 5}]}
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **keys), plugins, Display())
    config = tiny_config(run_dir=tmp_path / "stopped", **keys)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 1/2", 2))
    stopped = Run(tmp_path / "stopped")

    def looks_again(*args: Any) -> Any:
        raise AssertionError("a run that goes on has to keep what was selected")

    monkeypatch.setattr("ft_freeze.fisher.select", looks_again)
    resumed, _ = finetune(stopped.config(trust_code=True), plugins, Display(), stopped)
    ours, theirs = (load_file(run.path / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_train_takes_back_what_images_say_too(tiny_config: MakeConfig, plugins: Plugins) -> None:
    plan = prepare(tiny_config(freeze=["all"], train=["fisher:1"]), plugins, Display()).plan
    (selected,) = plan.selected.values()
    assert selected
    assert not set(selected) & set(plan.frozen)


def test_param_groups_cannot_ask_for_images(plugins: Plugins) -> None:
    with pytest.raises(FtError, match="groups fisher:1 looks at images, which only --freeze and --train give it"):
        select_parameters(ComponentConfig(use="fisher:1"), "groups", small(), plugins)


def test_what_was_selected_before_stands(plugins: Plugins) -> None:
    rule = ComponentConfig(use="fisher:1")
    choice = choose_frozen([rule], [], small(), plugins, None, {"fisher:1": ["scale"]})
    assert choice.names == {"scale"}
    assert choice.rules == {"scale": "fisher:1"}


def _log(looks: str) -> list[Any]:
    import sys

    (module,) = (
        m for name, m in sys.modules.items() if name.startswith("ft_file_looks") and looks.startswith(str(m.__file__))
    )
    log: list[Any] = module.LOG
    return log
