from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from ft.cache import decision
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine import devices
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.plan import pace
from ft.plan.pace import fastest

MakeConfig = Callable[..., Config]
FP32, BF16 = Machine("cpu", "fp32", True), Machine("cpu", "bf16", True)
FIRST = Machine("cpu", "bf16", False)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[Machine, float]:
    """How many seconds an image is said to take, by machine; and this processor computes bf16."""
    seconds = {FP32: 1.0, BF16: 1.0, FIRST: 1.0, Machine("cpu", "fp32", False): 1.0}

    really = pace.step_seconds

    def measured(module: nn.Module, run: Any, batch: Any, machine: Machine) -> float:
        really(module, run, batch, machine)
        return seconds[machine]

    for module in (decision, devices):
        monkeypatch.setattr(module, "has_fast_bf16", lambda _: True)
    monkeypatch.setattr(pace, "step_seconds", measured)
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "own-cache"))
    return seconds


@pytest.fixture
def auto(tiny_config: MakeConfig) -> MakeConfig:
    def make(**keys: Any) -> Config:
        return tiny_config(**{"machine__precision": "auto", "images__augment": "none", **keys})

    return make


def test_another_machine_is_taken_only_where_it_is_clearly_faster() -> None:
    assert fastest({}, FP32) == FP32
    assert fastest({FP32: 100.0, BF16: 110.0}, FP32) == FP32
    assert fastest({FP32: 100.0, BF16: 120.0, FIRST: 119.0}, FP32) == BF16
    assert fastest({FP32: 100.0, BF16: 120.0, FIRST: 150.0}, FP32) == FIRST


@pytest.mark.parametrize(("seconds", "precision"), [(0.5, "bf16"), (1.0, "fp32"), (2.0, "fp32")])
def test_auto_trains_in_what_is_faster_and_the_plan_says_both(
    seconds: float, precision: str, timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins
) -> None:
    timed[BF16] = timed[FIRST] = seconds
    ready = prepare(auto(), plugins, Display())
    assert (ready.machine.precision, ready.plan.precision) == (precision, precision)
    assert {"fp32", "bf16"} < set(ready.plan.paces)
    assert ready.plan.paces["bf16"] == pytest.approx(ready.plan.paces["fp32"] / seconds, rel=0.1)


def test_where_only_fp16_is_fast_it_is_tried_and_the_choice_stays(
    timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "fast_half", lambda _: "fp16")
    fp16, first = Machine("cpu", "fp16", True), Machine("cpu", "fp16", False)
    timed |= {fp16: 0.5, first: 1.0}
    ready = prepare(auto(), plugins, Display())
    assert ready.machine == fp16
    assert {"fp32", "fp16"} < set(ready.plan.paces)
    assert ready.config.machine.resolved == "fp16"


def test_a_layout_that_is_faster_is_taken_and_the_networks_weights_have_it(
    timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins
) -> None:
    timed[BF16], timed[FIRST] = 0.5, 0.2
    ready = prepare(auto(), plugins, Display())
    assert ready.machine == FIRST
    assert not ready.config.machine.channels_last
    assert ready.model.module.get_parameter("layer1.0.weight").is_contiguous()


def test_the_pass_of_the_frozen_prefix_is_in_bf16_whatever_the_steps_are_in(
    timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins
) -> None:
    timed[BF16] = 2.0
    plan = prepare(auto(freeze=["all"]), plugins, Display()).plan
    assert (plan.precision, plan.cache.promise) == ("fp32", "fast")


def test_the_choice_stays_when_the_run_is_repeated_or_goes_on(
    timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed[BF16] = 0.5
    run, _ = finetune(auto(), plugins, Display())
    assert yaml.safe_load((run.path / "config.yaml").read_text())["machine"]["resolved"] == "bf16"

    def never(*_: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr(pace, "images_a_second", never)
    again = load_config(run.path / "config.yaml")
    assert prepare(again, plugins, Display()).machine == BF16
    finetune(run.config(True, {"training.epochs": 3}), plugins, Display(), run)
    assert run.read_json("plan.json")["precision"] == "bf16"


@pytest.mark.parametrize(("share", "times"), [(2.0, 1), (0.1, 2)])
def test_what_was_measured_is_remembered_unless_others_kept_the_processor_busy(
    share: float,
    times: int,
    timed: dict[Machine, float],
    auto: MakeConfig,
    plugins: Plugins,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Machine] = []
    measure = pace.images_a_second

    def counting(*args: Any) -> float:
        tried.append(args[3])
        return measure(*args)

    monkeypatch.setattr(pace, "images_a_second", counting)
    monkeypatch.setattr("time.process_time", lambda: share * time.perf_counter())
    plans = [prepare(auto(), plugins, Display()).plan for _ in range(2)]
    assert tried.count(FP32) == times
    assert plans[0].paces == plans[1].paces
    prepare(auto(freeze=["until:stem"]), plugins, Display())
    assert tried.count(FP32) == times + 1


def test_measuring_leaves_the_network_as_it_was(
    timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins
) -> None:
    timed[BF16] = 2.0
    torch.manual_seed(3)
    first = prepare(auto(), plugins, Display(), "random").model.module
    second = prepare(auto(machine__precision="fp32"), plugins, Display(), "random").model.module
    for (name, ours), theirs in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert all(parameter.grad is None for parameter in first.parameters())


@pytest.mark.parametrize(
    "keys",
    [
        {"machine__precision": "fp32"},
        {"machine__resolved": "fp32"},
        {"cache__promise": "exact"},
        {"training__optimizer": "lbfgs"},
    ],
)
def test_nothing_is_measured_where_there_is_nothing_to_choose(
    keys: dict[str, Any], timed: dict[Machine, float], auto: MakeConfig, plugins: Plugins
) -> None:
    plan = prepare(auto(freeze=["all"], **{"cache__promise": "auto", **keys}), plugins, Display()).plan
    assert (dict(plan.paces), plan.precision) == ({}, "fp32")
