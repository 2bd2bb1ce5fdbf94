"""Training in float16: the scale of the loss, steps that are skipped, and runs that go on with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from finished_runs import FinishedRun
from ft import FtError
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.python_display import printed
from ft.machine.signals import StopAsked
from ft.plan.text import print_plan
from ft.run.checkpoints import ScaleState
from ft.run.folder import Run
from ft.training import loss_scale
from ft.training.loss_scale import LossScale
from ft.training.step import Batch, Learning, learn, moving_buffers
from ft_tasks.cross_entropy import CrossEntropy
from signal_at_progress import SignalAtProgress
from steps import alone

MakeConfig = Callable[..., Config]
FP16 = Machine("cpu", "fp16", channels_last=False)


def stepped(module: nn.Linear, scale: LossScale, times: float = 1.0, clip: float | None = None) -> bool:
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    module.zero_grad()
    scale.backward((module(torch.ones(1, 2)) * times).sum())
    return scale.step(optimizer, module, clip)


def test_gradients_are_what_they_are_without_a_scale_also_where_their_norm_is_cut() -> None:
    for clip in (None, 0.5):
        module = nn.Linear(2, 1)
        weight, scale = module.weight.detach().clone(), LossScale(FP16)
        assert stepped(module, scale, clip=clip)
        expected = torch.ones(1, 2) if clip is None else torch.full((1, 2), 0.5 / math.sqrt(3))
        torch.testing.assert_close(weight - module.weight, expected)
        assert scale.state() == ScaleState(65536.0, 1, 0)


def test_a_step_that_overflows_is_skipped_and_the_next_one_has_half_of_the_scale() -> None:
    module, scale = nn.Linear(2, 1), LossScale(FP16)
    before = module.weight.detach().clone()
    assert not stepped(module, scale, 1e36)
    assert torch.equal(module.weight, before)
    assert (scale.skipped, scale.state()) == (1, ScaleState(32768.0, 0, 1))
    assert stepped(module, scale)
    assert not torch.equal(module.weight, before)
    assert (scale.skipped, scale.state()) == (0, ScaleState(32768.0, 1, 0))


def test_gradients_that_never_become_finite_are_an_error() -> None:
    module, scale = nn.Linear(2, 1), LossScale(FP16)
    taken = [stepped(module, scale, math.inf) for _ in range(20)]
    assert not any(taken)
    with pytest.raises(FtError, match="in fp16 the gradients of 21 steps in a row were not finite"):
        stepped(module, scale, math.inf)


def test_a_scale_that_is_taken_up_goes_on_as_the_one_that_was_left() -> None:
    left = LossScale(FP16)
    stepped(nn.Linear(2, 1), left, math.inf)
    taken_up = LossScale(FP16)
    taken_up.restore(left.state())
    for scale in (left, taken_up):
        stepped(nn.Linear(2, 1), scale)
        stepped(nn.Linear(2, 1), scale, math.inf)
    assert taken_up.state() == left.state() == ScaleState(16384.0, 0, 1)
    in_fp32 = LossScale(Machine("cpu", "fp32", channels_last=False))
    in_fp32.restore(left.state())
    assert (in_fp32.state(), in_fp32.skipped) == (None, 0)


def test_a_step_without_a_finite_loss_leaves_the_statistics_of_batchnorm_as_they_were() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    feed = cast(Any, SimpleNamespace(forward=lambda inputs, blend: module(inputs), torch_only=True))
    module(torch.ones(2, 3, 4, 4))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    moving, scale = moving_buffers(module, ()), LossScale(FP16)
    learning = Learning(
        module,
        alone(module, feed, TrainingConfig()),
        CrossEntropy(None, 0.0),
        0.0,
        TrainingConfig(),
        FP16,
        moving,
        scale,
        4,
    )
    loss, _, _ = learn(Batch.of_one_process(torch.full((2, 3, 4, 4), 1e6), torch.tensor([0, 1]), 1), 1, learning)
    assert math.isnan(loss)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("freeze", [["none"], ["until:layer1"]])
def test_a_run_in_fp16_ends_close_to_one_in_fp32(
    freeze: list[str], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": freeze, "images__augment": "none", "training__swa": 2}
    keys |= {"training__clip_norm": 1.0, "training__epochs": 3, "training__lr": 0.01}
    full = FinishedRun(tiny_config(run_dir=tmp_path / "fp32", **keys), plugins)
    half = FinishedRun(tiny_config(run_dir=tmp_path / "fp16", machine__precision="fp16", **keys), plugins)
    losses = [[each["val_loss"] for each in run.metrics] for run in (half, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]
    ended, expected = half.run.read_checkpoint("last"), full.run.read_checkpoint("last")
    torch.testing.assert_close(ended.tensors["fc.weight"], expected.tensors["fc.weight"], atol=0.03, rtol=0.1)
    assert (ended.scale, expected.scale) == (ScaleState(65536.0, 9, 0), None)


def test_a_stop_between_steps_that_are_skipped_and_taken_changes_nothing(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys: dict[str, Any] = {"machine__precision": "fp16", "training__ema": 0.7, "training__clip_norm": 1.0}
    keys |= {"training__epochs": 4, "images__augment": "none"}
    whole = FinishedRun(tiny_config("offset-constant", run_dir=tmp_path / "whole", **keys), plugins)
    assert "no step of epoch 1 was taken: in fp16 their gradients were not finite" in capsys.readouterr().err
    stopped = tiny_config("offset-constant", run_dir=tmp_path / "run", **keys)
    with pytest.raises(StopAsked):
        finetune(stopped, plugins, SignalAtProgress("epoch 2/4", 5))
    run = Run(tmp_path / "run")
    skipped = run.read_checkpoint("last").scale
    assert skipped is not None
    assert skipped.skipped == 5
    finetune(run.config(True), plugins, Display(), run)
    ended, expected = run.read_checkpoint("last"), whole.run.read_checkpoint("last")
    assert ended.scale == expected.scale
    assert expected.scale is not None
    assert expected.scale.skipped == 0, "in the end steps are taken"
    for name, tensor in load_file(run.path / "model.safetensors").items():
        assert torch.equal(tensor, whole.weights[name]), name
    assert all(torch.equal(tensor, expected.average[name]) for name, tensor in ended.average.items())


def test_a_run_whose_gradients_stay_infinite_ends_and_says_what_to_try(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_scale, "MOST_SKIPPED", 4)
    with pytest.raises(
        FtError, match=r"of 5 steps in a row .*nothing of them was kept.*--precision fp32.*The last whole epoch is in"
    ):
        finetune(tiny_config("offset-constant", machine__precision="fp16"), plugins, Display())


@pytest.mark.parametrize("optimizer", ["lbfgs", "sweep"])
def test_heads_that_are_fitted_need_no_scale(
    optimizer: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": ["all"], "training__optimizer": optimizer, "images__augment": "none"}
    full = FinishedRun(tiny_config(run_dir=tmp_path / "fp32", **keys), plugins)
    half = FinishedRun(tiny_config(run_dir=tmp_path / "fp16", machine__precision="fp16", **keys), plugins)
    assert half.report.chosen_by["loss"] == pytest.approx(full.report.chosen_by["loss"], rel=0.02)
    assert half.run.read_checkpoint("last").scale is None


def test_the_plan_says_what_float16_takes(tiny_config: MakeConfig, plugins: Plugins) -> None:
    plan = prepare(tiny_config(machine__precision="fp16"), plugins, Display()).plan
    assert any("--precision fp16 is for GPUs without bf16" in each for each in plan.warnings)
    text = " ".join(printed(lambda display: print_plan(plan, display)).split())
    assert "cpu, fp16, the loss scaled, steps whose gradients overflow skipped" in text
