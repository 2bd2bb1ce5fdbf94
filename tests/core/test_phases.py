"""Runs in phases: each is planned for the network as the one before it left it, wherever the run was stopped."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY
from finished_runs import metrics_in
from ft.config.loading import load_config
from ft.config.phases import configs_of
from ft.config.schema import Config
from ft.cross_validation import cross_validate
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, plan_phases, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.run.locked import check_locked
from ft.run.phases import begun_phases
from ft.run.report import Report
from ft.task.evaluation import figures_of
from ft.tracking.events import FeaturesReady, PhaseStarted
from signal_at_progress import SignalAtProgress

PROBE = {"freeze": "all", "epochs": 2, "head_lr": 0.01, "augment": "none"}
WIDER = {"freeze": "all", "train": "regex:layer2.*", "epochs": 2, "lr": 0.01, "augment": "none"}
ALL = {"freeze": [], "epochs": 2, "lr": 0.001, "optimizer": "sgd"}
THREE = [PROBE, WIDER, ALL]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> tuple[Run, Report]:
    """A run of three phases that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return finetune(tiny(folder, THREE), plugins, Display())


def tiny(folder: Path, phases: list[Mapping[str, Any]]) -> Config:
    return load_config(
        {
            "backbone": f"{TINY}:small",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": 6, "size": 32},
            "images": {"size": 16},
            "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
            "training": {"batch_size": 8},
            "run_dir": str(folder),
            "phases": phases,
        }
    )


class Listening(Display):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class Interrupted(Exception):
    """The process ended before a phase computed anything."""


def edited(run: Run, phases: list[Mapping[str, Any]]) -> Config:
    """The config of a run, once somebody wrote these phases into its file."""
    file = run.path / "config.yaml"
    tree = load_config(file).model_dump(mode="json")
    file.write_text(json.dumps({**tree, "phases": phases}))
    return run.config(True)


def state(run: Run) -> Mapping[str, torch.Tensor]:
    return {**load_file(run.frozen_file()), **run.read_checkpoint("last").tensors}


def assert_same(one: Run, other: Run) -> None:
    """Model, last state, optimizer, figures and proofs are equal in every bit."""
    for first, second in (
        (load_file(one.path / "model.safetensors"), load_file(other.path / "model.safetensors")),
        (state(one), state(other)),
    ):
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []
    ours, theirs = one.read_checkpoint("last").optimizer, other.read_checkpoint("last").optimizer
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name][key])) for key, value in values.items()
        )
    assert metrics_in(one.path) == metrics_in(other.path)
    for name, key in (("phases.json", "phases"), ("report.json", "each_phase"), ("report.json", "phases")):
        assert one.read_json(name)[key] == other.read_json(name)[key]


def test_each_phase_trains_what_it_says_and_the_report_proves_each(whole: tuple[Run, Report]) -> None:
    run, report = whole
    assert [phase.epoch for phase in report.phases] == [0, 2, 4]
    assert report.epochs == 6
    probe, wider, everything = report.each_phase
    assert probe.trainable_parameters < wider.trainable_parameters < everything.trainable_parameters
    assert everything.frozen_parameters == 0
    assert len({phase.frozen_digest_before for phase in report.each_phase}) == 3
    assert all(phase.frozen_digest_before == phase.frozen_digest_after for phase in report.each_phase)
    assert [(phase.begins, phase.ended) for phase in report.each_phase] == [(0, 2), (2, 4), (4, 6)]
    assert [line["phase"] for line in metrics_in(run.path)] == [1, 1, 2, 2, 3, 3]
    assert run.read_json("report.json")["each_phase"][1]["asked"]["train"] == ["regex:layer2.*"]


@pytest.mark.parametrize(
    ("title", "done"),
    [("epoch 1/2", 2), ("epoch 3/4", 8), ("epoch 6/6", 18)],
)
def test_a_stop_in_any_phase_changes_nothing(
    title: str, done: int, whole: tuple[Run, Report], plugins: Plugins, tmp_path: Path
) -> None:
    with pytest.raises(StopAsked):
        finetune(tiny(tmp_path / "run", THREE), plugins, SignalAtProgress(title, done))
    run = Run(tmp_path / "run")
    finetune(run.config(True), plugins, Display(), run)
    assert_same(run, whole[0])


@pytest.mark.parametrize("first", [[PROBE], []], ids=["in phases", "without"])
def test_a_run_of_the_first_phase_that_goes_on_with_a_second_is_the_run_of_both(
    first: list[Mapping[str, Any]], plugins: Plugins, tmp_path: Path
) -> None:
    both, _ = finetune(tiny(tmp_path / "both", [PROBE, WIDER]), plugins, Display())
    alone = tiny(tmp_path / "first", [PROBE])
    run, _ = finetune(alone if first else configs_of(alone)[0], plugins, Display())
    assert (run.path / "phases.json").exists() == bool(first)
    finetune(edited(run, [PROBE, WIDER]), plugins, Display(), run)
    assert_same(run, both)


def test_a_head_that_is_solved_for_is_where_fine_tuning_begins(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LP-FT: all that is trained later begins with the head of the best penalty."""
    phases = [{"freeze": "all", "optimizer": "lbfgs"}, {"freeze": [], "epochs": 1, "lr": 1e-3, "augment": "none"}]
    run = interrupted_at(2, tiny(tmp_path / "run", phases), plugins, monkeypatch)
    last, best = run.read_checkpoint("last"), run.read_checkpoint("best")
    assert (last.position.epoch, last.position.history[0].penalty, last.optimizer) == (6, 0.1, {})
    assert last.tensors["fc.weight"].abs().max() > 0
    assert all(torch.equal(last.tensors[name], best.tensors[name]) for name in ("fc.weight", "fc.bias"))
    copy = Run(Path(shutil.copytree(run.path, tmp_path / "copy")))
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert (report.epochs, [phase.epoch for phase in report.phases]) == (7, [0, 6])
    assert run.read_checkpoint("last").optimizer.keys() >= {"stem.0.weight", "fc.weight"}
    with pytest.raises(StopAsked):
        finetune(copy.config(True), plugins, SignalAtProgress("epoch 7/7", 20), copy)
    finetune(copy.config(True), plugins, Display(), copy)
    assert_same(run, copy)


def interrupted_at(number: int, config: Config, plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that ended once this phase, from 1, was to begin."""
    module = sys.modules["ft.finetune"]
    open_feed, opened = vars(module)["open_feed"], 0

    def opening(*args: Any) -> Any:
        nonlocal opened
        opened += 1
        if opened == number:
            raise Interrupted
        return open_feed(*args)

    with monkeypatch.context() as patched:
        patched.setattr(module, "open_feed", opening)
        with pytest.raises(Interrupted):
            finetune(config, plugins, Display())
    assert config.run_dir is not None
    return Run(config.run_dir)


def test_a_phase_ends_by_its_own_patience_and_hands_over_its_best_weights(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [1.0, 2.0, 4.0, 3.0, 3.5, 5.0]
    monkeypatch.setattr("ft.training.loop.figures_of", lambda *args: {**figures_of(*args), "loss": losses.pop(0)})
    phases = [
        {"freeze": "all", "epochs": 9, "patience": 1},
        {"freeze": "until:stem", "epochs": 3, "lr": 0.01},
        {"freeze": "all", "epochs": 1},
    ]
    config = tiny(tmp_path / "run", phases)
    config = config.model_copy(update={"training": config.training.model_copy(update={"monitor": "loss"})})
    display = Listening()
    run, report = finetune(config, plugins, display)
    assert [phase.epoch for phase in report.phases] == [0, 2, 5]
    begun = [line.partition(";")[0] for line in display.said if " begins with " in line]
    assert begun == [
        "phase 2 of 3 begins with the weights of epoch 1",
        "phase 3 of 3 begins with the weights of epoch 4",
    ]
    assert (report.best_epoch, [phase.best_epoch for phase in report.each_phase]) == (1, [1, 4, 6])
    frozen = load_file(run.frozen_file())  # phase 3 froze what phase 2 had trained, as it was in its best epoch
    assert not torch.equal(frozen["layer2.0.weight"], load_file(run.path / "model.safetensors")["layer2.0.weight"])


def test_features_that_a_phase_kept_are_found_by_the_next_one(plugins: Plugins, tmp_path: Path) -> None:
    told: list[Any] = []
    config = tiny(tmp_path / "run", [PROBE, {**PROBE, "head_lr": 1e-3}])
    finetune(config, plugins, Display(), listeners=[told.append])
    assert [event.computed for event in told if isinstance(event, FeaturesReady)][1:] == [0]
    assert [event.plan.place.number for event in told if isinstance(event, PhaseStarted)] == [1, 2]


def test_one_phase_is_planned_as_a_run_without(plugins: Plugins, tmp_path: Path) -> None:
    config = tiny(tmp_path / "run", [WIDER])
    without = prepare(configs_of(config)[0], plugins, Display())
    _, (plan,) = plan_phases(config, plugins, Display())
    assert (plan.digest(), plan.cache, plan.warnings) == (
        without.plan.digest(),
        without.plan.cache,
        without.plan.warnings,
    )


def test_a_plan_that_was_written_out_is_the_same_plan(
    plugins: Plugins, tmp_path: Path, ft_cli: Callable[..., Any]
) -> None:
    file, out = tmp_path / "given.yaml", tmp_path / "out.yaml"
    file.write_text(json.dumps(tiny(tmp_path / "run", THREE).model_dump(mode="json")))
    shown = ft_cli("plan", "--config", str(file), "--plan-out", str(out)).stdout
    assert [line for line in shown.splitlines() if line.startswith("phase ")] == [
        "phase 1 of 3, epochs 1 to 2",
        "phase 2 of 3, epochs 3 to 4",
        "phase 3 of 3, epochs 5 to 6",
    ]
    digests = [
        [plan.digest() for plan in plan_phases(load_config(each), plugins, Display())[1]] for each in (file, out)
    ]
    assert digests[0] == digests[1]
    assert load_config(out).phases[2].lr == 0.001
    assert load_config(out).phases[2].head_lr == 0.01  # which follows from sgd
    with pytest.raises(FtError, match="is there already, and may have been edited"):
        ft_cli("plan", "--config", str(file), "--plan-out", str(out))


def test_folds_have_all_phases(plugins: Plugins, tmp_path: Path) -> None:
    config = tiny(tmp_path / "folds", [{**PROBE, "epochs": 1}, {**WIDER, "epochs": 1}])
    config = config.model_copy(update={"split": config.split.model_copy(update={"folds": 2})})
    folds, summary = cross_validate(config, plugins, Display())
    assert len(summary.finished) == 2
    assert [len(begun_phases(folds.run(number))) for number in (1, 2)] == [2, 2]


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{**PROBE, "head_lr": 0.02}, WIDER, ALL], r"phase 1 has begun, and its head_lr changed since then; undo that"),
        ([PROBE, {**WIDER, "augment": "flip"}, ALL], r"phase 2 has begun, and its augment changed"),
        ([PROBE, WIDER, {**ALL, "epochs": 3}], r"phase 3 has begun, and its epochs changed"),
        ([PROBE, WIDER], r"is in phase 3 already, and its config lists 2"),
        ([*THREE, {"freeze": "regex:nothing"}], r"phase 4: pattern 'nothing' matches no parameter"),
    ],
)
def test_what_cannot_go_on_is_said_and_nothing_is_written(
    phases: list[Mapping[str, Any]], message: str, whole: tuple[Run, Report], plugins: Plugins, tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(whole[0].path, tmp_path / "copy")))
    config = edited(run, phases)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(FtError, match=message):
        finetune(config, plugins, Display(), run)
    assert before == {path.name: path.read_bytes() for path in run.path.iterdir()}


def test_flags_that_a_phase_could_mean_are_refused_beside_resume(whole: tuple[Run, Report]) -> None:
    with pytest.raises(FtError, match=r"runs in phases, so epochs, freeze, train cannot be changed"):
        whole[0].config(True, {"freeze": ["all"], "train": [], "training.epochs": 9})
    assert whole[0].config(True, {"cache.promise": "off"}).cache.promise == "off"


def test_a_mistake_in_a_later_phase_is_said_before_the_first_one_trains(plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(FtError, match=r"phase 2: pattern 'layr2.*' matches no parameter"):
        finetune(tiny(tmp_path / "run", [PROBE, {"freeze": "regex:layr2.*"}]), plugins, Display())
    assert not (tmp_path / "run").exists()


def test_components_of_every_phase_are_locked(whole: tuple[Run, Report], plugins: Plugins) -> None:
    run = whole[0]
    used = {(each.kind, each.name) for each in run.versions_file().components}
    assert {("freeze", "regex"), ("optimizer", "sgd"), ("optimizer", "adamw")} <= used
    check_locked(run.config(True), plugins, run.versions_file(), "RUN")
    other = edited_copy(run.config(True), [PROBE, {**WIDER, "train": "depth:1"}])
    with pytest.raises(FtError, match="freezing strategy 'depth' was not used"):
        check_locked(other, plugins, run.versions_file(), "RUN")


def edited_copy(config: Config, phases: list[Mapping[str, Any]]) -> Config:
    return load_config({**config.model_dump(mode="json"), "phases": phases})
