"""A run goes on with another freeze: from its last state, with the state of whatever still trains."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ft.cache import decision
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine import devices
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.plan import pace
from ft.run.folder import Run
from ft.run.report import Report
from ft.task.evaluation import figures_of
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Tensors = Mapping[str, torch.Tensor]
HEAD = {"fc.weight", "fc.bias"}
LAYER2 = {"layer2.0.weight", "layer2.0.bias"}
UNFREEZE: dict[str, Any] = {"freeze": ["all"], "train": ["regex:layer2.*"], "training.epochs": 4, "training.lr": 0.01}


class Listening(Display):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)

    @property
    def change(self) -> str:
        (line,) = [text for text in self.said if " changed after " in text]
        return line


class Interrupted(Exception):
    """The process ended once the folder was made to go on."""


def go_on(run: Run, plugins: Plugins, display: Display | None = None, **flags: Any) -> Report:
    return finetune(run.config(True, flags), plugins, display or Display(), run)[1]


def model_of(run: Run) -> Tensors:
    return load_file(run.path / "model.safetensors")


def last_state(run: Run) -> Tensors:
    return {**load_file(run.frozen_file()), **run.read_checkpoint("last").tensors}


def differing(one: Tensors, other: Tensors) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if not torch.equal(one[name], other[name])}


def copy_of(run: Run, name: str) -> Run:
    return Run(Path(shutil.copytree(run.path, run.path.with_name(name))))


def stopped(config: Config, plugins: Plugins, title: str, done: int) -> Run:
    with pytest.raises(StopAsked) as asked:
        finetune(config, plugins, SignalAtProgress(title, done))
    return Run(asked.value.folder)


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Validation losses of the epochs to come."""
    values: list[float] = []
    monkeypatch.setattr("ft.training.loop.figures_of", lambda *args: {**figures_of(*args), "loss": values.pop(0)})
    return values


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, plugins: Plugins) -> Callable[..., Run]:
    """Let a run go on with some flags, and end it before it computes anything."""

    def interrupted(run: Run, **flags: Any) -> Run:
        def end(*_: Any) -> None:
            raise Interrupted

        with monkeypatch.context() as patched:
            patched.setattr(sys.modules["ft.finetune"], "open_feed", end)
            with pytest.raises(Interrupted):
                go_on(run, plugins, **flags)
        return run

    return interrupted


def test_a_finished_run_goes_on_with_its_last_stage_unfrozen(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(freeze=["all"]), plugins, Display())
    before = last_state(run)
    display = Listening()
    report = go_on(run, plugins, display, **UNFREEZE)
    assert display.change == (
        "the freeze changed after epoch 2: 2 tensors (440 parameters) train now that were frozen, 0 tensors "
        "(0 parameters) are frozen now; optimizer state restored for 2 tensors, fresh for 2"
    )
    after = last_state(run)
    statistics = {f"layer2.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert differing(before, after) == HEAD | LAYER2 | statistics
    assert [json.loads(line)["epoch"] for line in (run.path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    assert [(phase.epoch, phase.freeze, phase.train, phase.epochs) for phase in report.phases] == [
        (0, ["all"], [], 2),
        (2, ["all"], ["regex:layer2.*"], 4),
    ]
    for name in ("plan.json", "report.json"):
        assert run.read_json(name)["phases"] == [asdict(phase) for phase in report.phases]
    assert run.config(True).train[0].use == "regex:layer2.*"
    assert ("freeze", "regex") in {(c["kind"], c["name"]) for c in run.read_json("versions.json")["components"]}


@pytest.mark.parametrize(
    ("freeze", "freed"),
    [
        (["until:stem"], "2 BatchNorm layers stood still until now (layer1.1 first)"),
        (["until:stem", "type:norm"], "1 BatchNorm layer stood still until now (layer2.1 first)"),  # it has no weights
        (["until:layer2"], ""),
    ],
)
def test_statistics_that_begin_to_move_are_said_with_the_way_to_keep_them(
    freeze: list[str], freed: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    run, _ = finetune(tiny_config(freeze=["all"], training__epochs=1), plugins, Display())
    display = Listening()
    report = go_on(run, plugins, display, freeze=freeze, **{"training.epochs": 2})
    said = [text for text in display.warned if "BatchNorm" in text]
    assert len(said) == bool(freed)
    assert all(freed in text and text.endswith("add --freeze type:norm to keep them as they are") for text in said)
    assert set(said) <= set(report.warnings)
    again = Listening()
    go_on(run, plugins, again, **{"training.epochs": 3})
    assert not any("BatchNorm" in text for text in again.warned)  # they move already


def test_a_run_that_was_stopped_in_an_epoch_goes_on_in_it_with_another_freeze(
    tiny_config: MakeConfig, plugins: Plugins
) -> None:
    run = stopped(tiny_config(freeze=["all"]), plugins, "epoch 2/2", 5)
    before = last_state(run)
    display = Listening()
    report = go_on(run, plugins, display, **UNFREEZE)
    assert "the freeze changed after epoch 1, step 2: 2 tensors (440 parameters) train now" in display.change
    assert (report.phases[1].epoch, report.phases[1].step, report.epochs) == (1, 2, 4)
    assert {name.partition(".")[0] for name in differing(before, last_state(run))} == {"fc", "layer2"}


def test_what_is_frozen_again_stays_as_it_was_trained(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(training__lr=0.01), plugins, Display())
    before = last_state(run)
    plain = copy_of(run, "plain")
    flags = {"freeze": ["all"], "training.epochs": 4}
    display = Listening()
    report = go_on(run, plugins, display, **flags)
    assert "0 tensors (0 parameters) train now that were frozen, 10 tensors (791 parameters) are frozen now" in (
        display.change
    )
    assert differing(before, last_state(run)) == HEAD
    assert report.cache.promise == "off"  # the run's augmentation stays as it began
    go_on(plain, plugins, **flags, **{"cache.promise": "off"})
    assert differing(last_state(run), last_state(plain)) == set()


def test_features_of_what_is_frozen_again_are_those_of_its_trained_weights(
    tiny_config: MakeConfig, plugins: Plugins
) -> None:
    run, _ = finetune(tiny_config(training__lr=0.01, images__augment="none"), plugins, Display())
    plain = copy_of(run, "plain")
    flags = {"freeze": ["all"], "training.epochs": 4}
    assert go_on(run, plugins, **flags).cache.promise == "exact"
    go_on(plain, plugins, **flags, **{"cache.promise": "off"})
    assert differing(last_state(run), last_state(plain)) == set()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "adafactor"])
def test_optimizer_state_is_kept_for_what_still_trains_and_for_nothing_else(
    optimizer: str, tiny_config: MakeConfig, plugins: Plugins, interrupted: Callable[..., Run]
) -> None:
    config = tiny_config(freeze=["until:layer1"], training__optimizer=optimizer)
    run, _ = finetune(config, plugins, Display())
    before = run.read_checkpoint("last").optimizer
    assert before.keys() == HEAD | LAYER2
    fewer = interrupted(copy_of(run, "fewer"), freeze=["all"], **{"training.epochs": 3})
    more = interrupted(run, freeze=["until:stem"], **{"training.epochs": 3})
    for each, names in ((fewer, HEAD), (more, HEAD | LAYER2)):
        after = each.read_checkpoint("last").optimizer
        assert after.keys() == names
        assert all(torch.equal(after[name][key], before[name][key]) for name in names for key in before[name])
    go_on(more, plugins)  # some parameters of a group have state, and others have none
    after = more.read_checkpoint("last").optimizer
    assert after.keys() > HEAD | LAYER2
    if optimizer == "adamw":
        assert {name for name, state in after.items() if state["step"] == 9} == HEAD | LAYER2
        assert all(after[name]["step"] == 3 for name in after.keys() - HEAD - LAYER2)


@pytest.mark.parametrize("repeated", [True, False], ids=["flags repeated", "no flags"])
def test_a_stop_after_the_change_does_not_change_the_result(
    repeated: bool, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    whole, _ = finetune(tiny_config(freeze=["all"]), plugins, Display())
    run = copy_of(whole, "stopped")
    report = go_on(whole, plugins, **UNFREEZE)
    with pytest.raises(StopAsked):
        go_on(run, plugins, SignalAtProgress("epoch 4/4", 11), **UNFREEZE)
    display = Listening()
    again = go_on(run, plugins, display, **(UNFREEZE if repeated else {}))
    assert not any("changed" in line for line in display.said)
    assert differing(model_of(whole), model_of(run)) == set()
    assert differing(last_state(whole), last_state(run)) == set()
    assert (report.phases, report.val) == (again.phases, again.val)


def test_the_best_epoch_of_an_earlier_phase_stays_the_model_and_the_last_state_is_kept_too(
    losses: list[float], tiny_config: MakeConfig, plugins: Plugins, interrupted: Callable[..., Run]
) -> None:
    losses += [1.0, 2.0, 3.0, 4.0, 5.0]
    run, first = finetune(tiny_config(training__lr=0.01, training__monitor="loss"), plugins, Display())
    best = model_of(run)
    second = {"freeze": ["until:layer1"], "training.epochs": 4}
    report = go_on(run, plugins, **second)
    assert (report.best_epoch, report.val) == (1, first.val)
    assert differing(best, model_of(run)) == set()
    last = last_state(run)
    assert differing(best, last) > HEAD | LAYER2  # what is frozen now had trained on after the best epoch
    go_on(run, plugins, **second)  # nothing is left to do
    interrupted(run, freeze=["all"], **{"training.epochs": 5})
    assert differing(last, last_state(run)) == set()
    report = go_on(run, plugins)
    assert differing(last, last_state(run)) == HEAD
    assert differing(best, model_of(run)) == set()
    assert (report.best_epoch, [phase.epoch for phase in report.phases]) == (1, [0, 2, 4])


def test_the_best_epoch_of_an_earlier_phase_has_what_was_frozen_then(
    losses: list[float], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    losses += [1.0, 2.0, 3.0, 4.0]
    run, _ = finetune(tiny_config(freeze=["all"], training__monitor="loss"), plugins, Display())
    best = model_of(run)
    assert go_on(run, plugins, **UNFREEZE).best_epoch == 1
    assert differing(best, model_of(run)) == set()
    assert differing(best, last_state(run)) > LAYER2


def test_the_best_epoch_of_a_later_phase_is_that_phases_last_state(
    losses: list[float], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    losses += [2.0, 3.0, 4.0, 1.0]
    run, _ = finetune(tiny_config(training__lr=0.01, training__monitor="loss"), plugins, Display())
    assert go_on(run, plugins, **{"freeze": ["until:layer1"], "training.epochs": 4}).best_epoch == 4
    assert not (run.path / "frozen.safetensors").exists()
    assert differing(model_of(run), last_state(run)) == set()


def test_patience_begins_anew_with_the_change(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys: dict[str, Any] = {"training__lr": 1e-12, "training__head_lr": 1e-12, "training__epochs": 9}
    run, report = finetune(tiny_config(freeze=["all"], training__patience=2, **keys), plugins, Display())
    assert (report.epochs, report.best_epoch) == (3, 1)
    report = go_on(run, plugins, freeze=["until:layer1"])
    assert (report.epochs, report.best_epoch) == (6, 1)


def test_patience_lasts_while_the_loss_falls_again_after_the_change(
    losses: list[float], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    """The change of the freeze brought the loss up, and it is still above what it was before."""
    losses += [0.9, 0.5, 1.1, 1.0, 0.9, 0.8, 0.9, 1.0, 1.0]
    keys: dict[str, Any] = {"training__lr": 1e-12, "training__monitor": "loss", "training__patience": 2}
    run, _ = finetune(tiny_config(freeze=["all"], **keys), plugins, Display())
    report = go_on(run, plugins, freeze=["until:layer1"], **{"training.epochs": 20})
    assert (report.epochs, report.best_epoch) == (8, 2)


def test_a_config_that_was_edited_changes_the_freeze_too(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run = stopped(tiny_config(freeze=["all"]), plugins, "epoch 2/2", 4)
    whole = copy_of(run, "whole")
    file = run.path / "config.yaml"
    file.write_text(file.read_text().replace("freeze:\n- all\n", "freeze:\n- until:layer1\n"))
    display = Listening()
    go_on(run, plugins, display)
    assert "2 tensors (440 parameters) train now that were frozen" in display.change
    go_on(whole, plugins, freeze=["until:layer1"])
    assert differing(model_of(run), model_of(whole)) == set()


@pytest.mark.parametrize(("first", "then"), [("exact", "off"), ("off", "fast")])
def test_the_precision_stays_as_the_run_began_when_the_cache_changes(
    first: str, then: str, tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (devices, decision):
        monkeypatch.setattr(module, "has_fast_bf16", lambda _: True)
    monkeypatch.setattr(pace, "CLEARLY", 0.0)  # bf16 is taken wherever it is tried
    keys = {"freeze": ["all"], "machine__precision": "auto", "cache__promise": first}
    run = stopped(tiny_config(**keys), plugins, "epoch 2/2", 4)
    before = run.read_json("plan.json")["precision"]
    go_on(run, plugins, **{"cache.promise": then})
    assert run.read_json("plan.json")["precision"] == before


def test_a_run_without_a_checkpoint_begins_with_the_new_freeze(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run = stopped(tiny_config(freeze=["until:stem"]), plugins, "epoch 1/2", 1)
    (run.path / "last.pt").unlink()  # as if the process had been killed
    report = go_on(run, plugins, freeze=["all"], train=["regex:layer2.*"])
    assert [(phase.epoch, phase.freeze, phase.train) for phase in report.phases] == [(0, ["all"], ["regex:layer2.*"])]
    assert run.config(True).freeze[0].use == "all"
    assert {c["name"] for c in run.read_json("versions.json")["components"]} >= {"all", "regex"}


def test_strategies_that_look_at_images_look_again_at_the_trained_network(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch, interrupted: Callable[..., Run]
) -> None:
    run = stopped(tiny_config(freeze=["fisher:1"], training__lr=0.01), plugins, "epoch 2/2", 5)
    trained = last_state(run)
    seen: list[Tensors] = []

    def select(backbone: Any, *_: Any) -> set[str]:
        seen.append({name: tensor.clone() for name, tensor in backbone.module.state_dict().items()})
        return set(backbone.parameters_under("stem"))

    monkeypatch.setattr("ft_freeze.fisher.select", select)
    interrupted(run)
    interrupted(run, **{"training.lr": 0.02})
    assert seen == []
    interrupted(run, freeze=["fisher:1", "regex:layer1.*"])
    assert differing(seen[0], trained) == set()
    interrupted(run)
    assert len(seen) == 1


def test_a_kill_between_the_best_checkpoint_and_the_last_loses_neither(
    losses: list[float], tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": ["all"], "training__monitor": "loss"}
    losses += 2 * [2.0, 1.0] + 2 * [3.0, 4.0]
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **keys), plugins, Display())
    plain = Run.save_checkpoint

    def save(self: Run, name: str, checkpoint: Any) -> None:
        if name == "last" and checkpoint.position.epoch == 2:
            raise Interrupted
        plain(self, name, checkpoint)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "save_checkpoint", save)
        with pytest.raises(Interrupted):
            finetune(tiny_config(run_dir=tmp_path / "killed", **keys), plugins, Display())
    killed = Run(tmp_path / "killed")
    assert killed.read_checkpoint("last").position.epoch == 1
    for run in (whole, killed):
        report = go_on(run, plugins, **UNFREEZE)
        assert (report.best_epoch, [phase.epoch for phase in report.phases]) == (2, [0, 2])
    assert differing(model_of(whole), model_of(killed)) == set()
    assert differing(last_state(whole), last_state(killed)) == set()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"freeze": ["none"]}, r"has done 2 epochs, and 2 are asked for; add --epochs 7"),
        ({"training.epochs": 1}, r"has done 2 epochs, and 1 are asked for"),
        ({"freeze": ["none"], "training.epochs": 4, "seed": 1, "split.val": 0.4}, r"began: 4 of 24 images changed"),
        ({"training.epochs": 4, "images.augment": "flip"}, r"began: augment changed since then"),
        ({"training.epochs": 4, "images.size": 24}, r"began: image_size changed since then"),
        ({"training.label_smoothing": 0.1}, r"began: training.label_smoothing changed since then; undo that"),
        ({"training.optimizer": "sgd", "seed": 1}, r"began: seed, training.optimizer changed since then"),
        ({"training.batch_size": 5, "images.fit": "pad"}, r"steps_per_epoch, images.fit, training.batch_size changed"),
    ],
    ids=str,
)
def test_what_cannot_go_on_is_said_and_nothing_is_written(
    flags: dict[str, Any], message: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    run, _ = finetune(tiny_config(freeze=["all"]), plugins, Display())
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(FtError, match=message):
        go_on(run, plugins, **flags)
    assert before == {path.name: path.read_bytes() for path in run.path.iterdir()}


def test_a_fit_by_lbfgs_keeps_its_freeze(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(freeze=["all"], training__optimizer="lbfgs"), plugins, Display())
    with pytest.raises(FtError, match="was fitted by --optimizer lbfgs, which has one freeze and takes no steps"):
        go_on(run, plugins, freeze=["until:layer2"])
    go_on(run, plugins)
