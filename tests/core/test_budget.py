"""A run on a time budget: what does not fit is cut before the first step, what takes longer ends early, and what was
decided is on record, so that a run that goes on or is repeated does not depend on how fast the machine is by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from safetensors.torch import load_file

from conftest import TINY
from finished_runs import metrics_in
from ft.budget import MARGIN
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.cross_validation import cross_validate
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, plan_phases
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.plan.speed import Speed, measure_speed
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

STEP = 1.0 / MARGIN
"""Seconds of an image in a training step, of which a phase that decodes nothing takes one for each of 20 images."""
PROBE = {"freeze": "all", "epochs": 2, "head_lr": 0.01, "augment": "none"}
ALL = {"freeze": [], "epochs": 4, "lr": 0.01, "augment": "none"}


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network takes a second for an image of a training step, and nothing for all else."""
    monkeypatch.setattr("ft.budget.measure_speed", lambda *args: Speed(STEP, 0.0, 0.0, 0.0))


def tiny(folder: Path, budget: str | None, *phases: dict[str, Any], **keys: Any) -> Config:
    tree = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "data": {"use": "demo", "images_per_class": 6, "size": 32},
        "images": {"size": 16},
        "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
        "training": {"batch_size": 8},
        "report": {"html": False},
        "run_dir": str(folder),
        "phases": list(phases),
        **({"time_budget": budget} if budget else {}),
    }
    return load_config(tree, (), {key.replace("__", "."): value for key, value in keys.items()})


def weights(run: Run) -> dict[str, Any]:
    return load_file(run.path / "model.safetensors")


def assert_same(one: Run, other: Run) -> None:
    ours, theirs = weights(one), weights(other)
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert metrics_in(one.path) == metrics_in(other.path)


def at(moments: Iterator[float]) -> SimpleNamespace:
    """A module `time` whose clock shows these moments."""
    return SimpleNamespace(monotonic=lambda: next(moments))


def test_epochs_that_do_not_fit_are_cut_and_the_plan_and_the_report_say_so(plugins: Plugins, tmp_path: Path) -> None:
    config = tiny(tmp_path / "run", "95s", PROBE, ALL)
    _, plans = plan_phases(config, plugins, Display())
    train = plans[0].images["train"]
    assert train == 20
    assert [plan.epochs for plan in plans] == [1, 4]
    assert plans[0].budget == "95s: phase 1 has 1 of 2 epochs, of 20s; phase 2 has 3 of 4 epochs, of 20s"
    takes = plans[1].takes
    assert takes is not None
    assert (round(takes.epoch), takes.epochs) == (20, 3)
    run, report = finetune(config, plugins, Display())
    assert report.epochs == 4
    assert report.time_budget is not None
    assert report.time_budget["cut"] == ["phase 1 has 1 of 2 epochs, of 20s", "phase 2 has 3 of 4 epochs, of 20s"]
    assert run.read_json("report.json")["time_budget"]["seconds"] > 0
    asked = tiny(tmp_path / "asked", None, {**PROBE, "epochs": 1}, {**ALL, "epochs": 3})
    digests = [plan.digest() for plan in plan_phases(asked, plugins, Display())[1]]
    assert [plan.digest() for plan in plans] == digests, "the rates fall within the epochs that are left"


def test_phases_that_do_not_fit_are_left_out(plugins: Plugins, tmp_path: Path) -> None:
    _, plans = plan_phases(tiny(tmp_path / "run", "35s", PROBE, ALL), plugins, Display())
    (plan,) = plans
    assert (plan.epochs, plan.place.of) == (1, 1)
    assert plan.budget.endswith("phase 2 is left out, as it takes 20s or more")


def test_of_phases_that_are_left_out_nothing_is_warned_of(plugins: Plugins, tmp_path: Path) -> None:
    solved = {"freeze": "all", "optimizer": "lbfgs", "augment": "none"}
    keys = {"training__epochs": 4, "training__head_lr": 0.5}
    # 100 passes over 20 images for the head, 20 s an epoch for the rest
    config = tiny(tmp_path / "run", "2010s", solved, {"freeze": [], "augment": "none"}, **keys)
    (plan,) = plan_phases(config, plugins, Display())[1]
    assert plan.optimizer.solves
    assert "phase 2 is left out" in plan.budget
    assert not [text for text in plan.warnings if "without effect" in text]


def test_a_run_without_phases_has_fewer_epochs_and_one_that_fits_has_all(plugins: Plugins, tmp_path: Path) -> None:
    (cut,) = plan_phases(tiny(tmp_path / "run", "65s", training__epochs=9), plugins, Display())[1]
    assert (cut.epochs, cut.budget) == (3, "65s: has 3 of 9 epochs, of 20s")
    ready, (whole,) = plan_phases(tiny(tmp_path / "run", "1h", training__epochs=9), plugins, Display())
    assert (whole.epochs, whole.budget) == (9, "1h: nothing is cut for it")
    without = plan_phases(tiny(tmp_path / "run", None, training__epochs=9), plugins, Display())[1][0]
    assert whole.digest() == without.digest()
    assert "time_budget" not in tiny(tmp_path, None).model_dump(mode="json")
    assert ready.whole.time_budget is not None


def test_where_nothing_fits_is_said_how_long_it_takes(plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(
        FtError, match=r"--time-budget 15s is too short: .* training takes 0s .* and 20s or more .* give"
    ):
        plan_phases(tiny(tmp_path / "run", "15s"), plugins, Display())


def test_what_was_decided_is_repeated_and_gone_on_with_bit_for_bit(plugins: Plugins, tmp_path: Path) -> None:
    run, _ = finetune(tiny(tmp_path / "run", "95s", PROBE, ALL), plugins, Display())
    again = load_config(run.path / "config.yaml", (), {"run_dir": str(tmp_path / "again")}, plugins)
    assert again.time_budget is not None
    assert again.time_budget.decided is not None
    repeated, report = finetune(again, plugins, Display())
    assert_same(run, repeated)
    assert report.time_budget is not None
    assert report.time_budget["seconds"] is None

    with pytest.raises(StopAsked):
        finetune(tiny(tmp_path / "stopped", "95s", PROBE, ALL), plugins, SignalAtProgress("epoch 3/4", 7))
    stopped = Run(tmp_path / "stopped")
    finetune(stopped.config(True), plugins, Display(), stopped)
    assert_same(run, stopped)


def test_a_phase_that_takes_longer_ends_early_and_so_does_the_run_that_is_repeated(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ft.training.early.time", at(iter([0.0, 1e9])))
        run, report = finetune(tiny(tmp_path / "run", "1h", ALL), plugins, Display())
    assert report.epochs == 2
    assert report.time_budget is not None
    assert report.time_budget["ended"] == {1: 2}
    again = load_config(run.path / "config.yaml", (), {"run_dir": str(tmp_path / "again")}, plugins)
    repeated, _ = finetune(again, plugins, Display())
    assert_same(run, repeated)
    same, report = finetune(run.config(True), plugins, Display(), run)
    assert (same.path, report.epochs) == (run.path, 2)


def test_a_run_that_ended_early_goes_on_when_it_is_told_to(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ft.training.early.time", at(iter([1e9])))
        run, report = finetune(tiny(tmp_path / "run", "1h", training__epochs=3), plugins, Display())
    assert report.epochs == 1
    _, report = finetune(run.config(True, {"training.epochs": 4}), plugins, Display(), run)
    assert report.epochs == 4
    assert report.time_budget is not None
    assert report.time_budget["ended"] == {}


def test_phases_for_which_no_time_is_left_are_left_out_and_the_run_says_so(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ft.phases.time", at(iter([0.0, 1e9])))
        run, report = finetune(tiny(tmp_path / "run", "1h", PROBE, ALL, PROBE), plugins, Display())
    assert (report.epochs, len(report.each_phase)) == (6, 2)
    assert report.time_budget is not None
    assert report.time_budget["cut"] == ["phase 3 left out, as the run took longer than was measured"]
    assert len(run.config(True).phases) == 2
    again = load_config(run.path / "config.yaml", (), {"run_dir": str(tmp_path / "again")}, plugins)
    repeated, _ = finetune(again, plugins, Display())
    assert_same(run, repeated)


def test_a_solved_head_ends_after_the_penalties_for_which_there_is_time(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tmp_path / "run", "10h", freeze=["all"], training__optimizer="lbfgs")
    with monkeypatch.context() as patch:
        patch.setattr("ft.training.early.time", at(iter([0.0, 1e9])))
        run, report = finetune(config, plugins, Display())
    assert report.epochs == 2
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert report.epochs == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"time_budget": "600"}, r"setting 'time_budget.*' cannot be '?600'?: 600 of what\? Write 600s"),
        ({"time_budget": 600}, r"600 of what\? Write 600s"),
        ({"time_budget": "soon"}, r"it is a time as 90s, 10m or 1h30m"),
        ({"time_budget": "10m", "split.folds": 3}, r"time_budget is for one run, and these are 3, .* run --fold 1"),
    ],
)
def test_what_is_no_budget_is_said(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(FtError, match=message):
        load_config({"backbone": "x:y"}, (), keys)


def test_an_average_of_the_last_epochs_which_may_be_left_out_is_refused(plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"--swa 2 averages .*, and --time-budget may leave them out; use --soup"):
        plan_phases(tiny(tmp_path / "run", "1h", training__swa=2), plugins, Display())


def test_folds_are_trained_alike_by_what_was_decided_for_one(plugins: Plugins, tmp_path: Path) -> None:
    one, _ = finetune(tiny(tmp_path / "one", "45s", split__folds=2, split__fold=1), plugins, Display())
    config = load_config(one.path / "config.yaml", ("split.fold=null", f"run_dir={tmp_path / 'all'}"), None, plugins)
    _, result = cross_validate(config, plugins, Display())
    assert [len(metrics_in(tmp_path / "all" / each.run)) for each in result.finished] == [len(metrics_in(one.path))] * 2


def test_the_speed_of_a_network_is_measured_on_it_and_leaves_it_as_it_was(plugins: Plugins, tmp_path: Path) -> None:
    ready, _ = plan_phases(tiny(tmp_path, None, freeze=["all"], machine__resolved="fp32"), plugins, Display(), "random")
    before = {name: tensor.clone() for name, tensor in ready.model.module.state_dict().items()}
    speed = measure_speed(ready.model.module, ready.prefix, ready.machine, 16, 8, ready.plan.cache.promise)
    assert min(speed.step, speed.look, speed.answer) > 0
    assert (speed.once > 0) == (ready.prefix is not None)
    assert all(tensor.equal(before[name]) for name, tensor in ready.model.module.state_dict().items())
    assert all(parameter.grad is None for parameter in ready.model.module.parameters())


def test_the_command_says_what_it_took_and_refuses_a_budget_for_what_goes_on(ft: Callable[..., Result]) -> None:
    said = ft(
        "plan", "--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--time-budget", "1h"
    ).stdout
    assert "time        1h: nothing is cut for it" in said
    assert "takes       about " in said
    refused = ft("run", "--resume", "runs/mine", "--time-budget", "1h", fails=True)
    assert "leave out --time-budget" in str(refused.exception)
