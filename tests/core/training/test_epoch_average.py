"""Averages of weights at the ends of epochs: SWA and greedy soups."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from backbones import Small
from conftest import TINY
from finished_runs import FinishedRun, assert_same_outcome, metrics_in
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, plan_phases, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.plan.averaging import check_averaging
from ft.plan.text import print_plan
from ft.run.folder import Run
from ft.run.report import Report
from ft.task.evaluation import figures_of
from ft.tracking.events import CheckpointSaved, Event
from ft.training.optim import lr_factor
from ft.training.predicting import predict_batches
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Tensors = dict[str, Tensor]
STEPS: dict[str, Any] = {"training__optimizer": "sgd", "training__epochs": 4, "images__augment": "none"}
HEAD: dict[str, Any] = {**STEPS, "freeze": ["all"], "training__head_lr": 0.3}
"""Rates so high that averages are better."""
ALL: dict[str, Any] = {**STEPS, "training__lr": 0.03, "training__head_lr": 0.03}


class Listening(Display):
    """Remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @property
    def account(self) -> str:
        (line,) = [text for text in self.said if "average of" in text]
        return line


def gathered(config: Config, plugins: Plugins, display: Display | None = None) -> tuple[Run, Report, list[Tensors]]:
    """A run, and the weights from which training went on after each epoch."""
    found: list[Tensors] = []

    def listen(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and event.path.name == "last.pt":
            found.append(dict(Run(event.path.parent).read_checkpoint("last").tensors))

    run, report = finetune(config, plugins, display or Display(), listeners=(listen,))
    return run, report, found


@dataclass(frozen=True)
class Averaged:
    """A run whose last three epochs were averaged, for the better, as nobody stopped it."""

    config: Config
    run: Run
    report: Report
    epochs: list[Tensors]
    account: str

    def copy(self, folder: Path) -> Run:
        return Run(Path(shutil.copytree(self.run.path, folder)))


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> Averaged:
    display, config = Listening(), swa_in(tmp_path_factory.mktemp("averaged") / "run")
    run, report, epochs = gathered(config, plugins, display)
    return Averaged(config, run, report, epochs, display.account)


def swa_in(folder: Path) -> Config:
    tree = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "data": {"use": "demo", "images_per_class": 6, "size": 32},
        "images.size": 16,
        "machine.precision": "fp32",
        "machine.device": "cpu",
        "machine.workers": 0,
        "report.html": False,
        "training.batch_size": 8,
        "training.swa": 3,
        "run_dir": folder,
    }
    return load_config(flags={**tree, **{key.replace("__", "."): value for key, value in HEAD.items()}})


def mean_of(weights: Sequence[Tensors]) -> Tensors:
    """torch's equal average, of tensors by name."""
    holders = [nn.ParameterDict({name.replace(".", "/"): each[name].float() for name in each}) for each in weights]
    averaged = AveragedModel(holders[0])
    for holder in holders:
        averaged.update_parameters(holder)
    return {name.replace("/", "."): tensor.detach() for name, tensor in averaged.module.items()}


def measured(config: Config, plugins: Plugins, weights: Tensors) -> dict[str, float]:
    """The figures of a network with these weights on the validation images."""
    ready = prepare(config, plugins, Display(), "random")
    ready.model.module.load_state_dict(weights, strict=False)
    looking = ready.job(Display(), _Never(), lambda event: None)
    batches = predict_batches(ready.model.module, ready.data.val, looking)
    return dict(figures_of(batches, ready.data.task, ready.data.space))


def _Never() -> Any:
    from ft.machine.signals import StopRequest

    return StopRequest()


def kept_in(run: Run) -> list[str]:
    return sorted(path.name for path in run.path.glob("epoch-*"))


def test_the_average_of_the_last_epochs_is_saved_where_it_is_better(averaged: Averaged, plugins: Plugins) -> None:
    run, report = averaged.run, averaged.report
    assert report.averaged == (2, 3, 4)
    mean, saved = mean_of(averaged.epochs[1:]), load_file(run.path / "model.safetensors")
    for name in ("fc.weight", "fc.bias"):
        torch.testing.assert_close(saved[name], mean[name])
    figures = measured(averaged.config, plugins, mean)
    assert report.chosen_by == pytest.approx(figures)
    assert report.val.figures == pytest.approx(figures)
    assert figures["loss"] < min(line["val_loss"] for line in metrics_in(run.path) if line["val_accuracy"] == 0.25)
    assert averaged.account.startswith("the average of epochs 2, 3 and 4 (SWA) has accuracy ")
    assert "; it is saved instead of epoch 4 (" in averaged.account
    assert kept_in(run) == []
    assert report.saved == "the average of epochs 2, 3 and 4"


def test_the_rates_are_level_while_weights_are_gathered(averaged: Averaged) -> None:
    assert [line["lr"] for line in metrics_in(averaged.run.path)] == pytest.approx([0.3, 0.15, 0.15, 0.15])
    assert [lr_factor(step, 2, 10, 4) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert lr_factor(4, 2, 10, 4) == pytest.approx(0.75)
    assert [lr_factor(step, 2, 10, 4) for step in range(6, 10)] == pytest.approx([0.5] * 4)


def test_an_average_that_is_no_better_is_not_saved_and_that_is_said(tiny_config: MakeConfig, plugins: Plugins) -> None:
    display = Listening()
    run, report, epochs = gathered(tiny_config(training__swa=3, **ALL), plugins, display)
    saved, best = load_file(run.path / "model.safetensors"), epochs[report.best_epoch - 1]
    assert all(torch.equal(saved[name], tensor) for name, tensor in best.items())
    assert (report.averaged, report.saved) == ((), f"epoch {report.best_epoch}")
    assert f"; it is no better than epoch {report.best_epoch} (accuracy " in display.account
    assert report.chosen_by == pytest.approx(report.val.figures)
    assert kept_in(run) == []
    last = run.read_checkpoint("last")
    assert (last.position.averages[0].taken, last.position.averages[0].of) == (False, [2, 3, 4])


@pytest.mark.parametrize("keys", [HEAD, ALL], ids=["head", "all"])
def test_a_soup_is_of_the_epochs_that_make_it_better(
    keys: dict[str, Any], tiny_config: MakeConfig, plugins: Plugins
) -> None:
    """Wortsman et al. 2022, algorithm 1, by hand; where BatchNorm moves, torch's update_bn sees one batch here."""
    size = {"training__batch_size": 100} if keys is ALL else {}
    keys = {**keys, **size, **({"training__lr": 0.5, "training__head_lr": 0.5} if size else {})}
    config = tiny_config(training__soup=3, **keys)
    run, report, epochs = gathered(config, plugins)

    def merit(val: dict[str, float]) -> tuple[float, float]:
        return val["accuracy"], -val["loss"]

    lines = [{name.removeprefix("val_"): each for name, each in line.items()} for line in metrics_in(run.path)]
    ranked = sorted(range(4), key=lambda place: merit(lines[place]), reverse=True)[:3]
    soup, best = ranked[:1], merit(lines[ranked[0]])
    for place in ranked[1:]:
        tried = counted_anew(config, plugins, mean_of([epochs[each] for each in (*soup, place)]))
        if (found := merit(measured(config, plugins, tried))) >= best:
            soup, best = [*soup, place], found
    assert report.averaged == (tuple(sorted(place + 1 for place in soup)) if len(soup) > 1 else ())
    saved = load_file(run.path / "model.safetensors")
    expected = epochs[soup[0]] if len(soup) == 1 else counted_anew(config, plugins, mean_of([epochs[p] for p in soup]))
    for name in epochs[0]:
        if expected[name].is_floating_point() and "tracked" not in name:
            torch.testing.assert_close(saved[name], expected[name], rtol=1e-4, atol=1e-5)
    assert kept_in(run) == []


def counted_anew(config: Config, plugins: Plugins, weights: Tensors) -> Tensors:
    """These weights, with BatchNorm's statistics as torch measures them; dropout, as in a step, is its own matter."""
    ready = prepare(config, plugins, Display(), "random")
    module = ready.model.module
    module.load_state_dict(weights, strict=False)
    if config.freeze:
        return weights
    torch.manual_seed(0)
    job = ready.job(Display(), _Never(), lambda event: None)
    from ft.training.feeds import open_feed

    feed = open_feed(module, ready.plan, ready.prefix, ready.store, job)

    class Fed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, inputs: Tensor) -> Tensor:
            from ft.machine.randomness import seed_all, step_seed

            seed_all(step_seed(0, ready.plan.total_steps))
            found: Tensor = feed.forward(inputs)
            return found

    update_bn(feed.batches(4, 0), Fed())
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_statistics_are_measured_anew_for_averaged_weights(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, report, epochs = gathered(tiny_config(training__soup=3, **ALL), plugins)
    assert report.averaged == (1, 3)
    saved = load_file(run.path / "model.safetensors")
    mean = mean_of([epochs[0], epochs[2]])
    torch.testing.assert_close(saved["stem.0.weight"], mean["stem.0.weight"])
    assert not torch.allclose(saved["stem.1.running_mean"], mean["stem.1.running_mean"], atol=1e-3)
    assert int(saved["stem.1.num_batches_tracked"]) == 3  # the batches of one pass
    assert {each.momentum for each in Small().modules() if isinstance(each, nn.BatchNorm2d)} == {0.1}


def test_a_stop_changes_nothing(averaged: Averaged, plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(StopAsked):
        finetune(swa_in(tmp_path / "run"), plugins, SignalAtProgress("epoch 3/4", 8))
    run = Run(tmp_path / "run")
    assert kept_in(run) == ["epoch-2.pt"]
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert_as(run, report, averaged)


def test_a_stop_changes_nothing_of_a_soup_of_averages(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {**ALL, "training__epochs": 3, "training__soup": 2, "training__ema": 0.5}
    config = tiny_config(run_dir=tmp_path / "whole", **keys)
    whole = Averaged(config, *gathered(config, plugins), "")
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "run", **keys), plugins, SignalAtProgress("epoch 3/3", 9))
    run = Run(tmp_path / "run")
    assert kept_in(run) == ["epoch-1.pt", "epoch-2.pt"]
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert_as(run, report, whole)


def assert_as(run: Run, report: Report, whole: Averaged) -> None:
    weights, expected = (load_file(each.path / "model.safetensors") for each in (run, whole.run))
    assert [name for name, tensor in weights.items() if not torch.equal(tensor, expected[name])] == []
    for now, then in ((report.averaged, whole.report.averaged), (report.val, whole.report.val)):
        assert now == then
    assert report.chosen_by == whole.report.chosen_by
    assert metrics_in(run.path) == metrics_in(whole.run.path)
    assert kept_in(run) == []


@pytest.mark.parametrize("written", ["best", "last"])
def test_a_kill_while_the_average_is_made_changes_nothing(
    written: str, averaged: Averaged, plugins: Plugins, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    plain = Run.save_checkpoint

    def save(self: Run, name: str, checkpoint: Any) -> Path:
        made = bool(checkpoint.position.averages)
        if made and written == "best" and name == "last":
            raise Killed
        path = plain(self, name, checkpoint)
        if made and name == "last":
            raise Killed
        return path

    with monkeypatch.context() as patched:
        patched.setattr(Run, "save_checkpoint", save)
        with pytest.raises(Killed):
            finetune(swa_in(tmp_path / "run"), plugins, Display())
    run = Run(tmp_path / "run")
    assert kept_in(run) == ["epoch-2.pt", "epoch-3.pt", "epoch-4.pt"]
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert_as(run, report, averaged)


def test_it_is_the_same_on_kept_features_as_on_images(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {**ALL, "freeze": ["until:stem"], "training__swa": 2}
    runs = [
        FinishedRun(tiny_config(run_dir=tmp_path / cache, cache__promise=cache, **keys), plugins)
        for cache in ("exact", "off")
    ]
    assert_same_outcome(*runs)
    first, second = (each.run.read_checkpoint("last").position.averages[0] for each in runs)
    assert (first.val, first.of) == (second.val, [3, 4])


def test_a_phase_hands_over_the_average_that_is_its_best(
    averaged: Averaged, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    first = {"freeze": "all", "optimizer": "sgd", "head_lr": 0.3, "epochs": 4, "swa": 3, "augment": "none"}
    second = {"freeze": "all", "train": "regex:layer2.*", "augment": "none", "lr": 1e-6, "head_lr": 1e-6}
    display = Listening()
    config = tiny_config(run_dir=tmp_path / "two", training__epochs=1, phases=[first, second])
    run, _ = finetune(config, plugins, display)
    assert any("phase 2 of 2 begins with the averaged weights of epochs 2, 3 and 4;" in text for text in display.said)
    before = load_file(averaged.run.path / "model.safetensors")
    torch.testing.assert_close(run.read_checkpoint("last").tensors["fc.bias"], before["fc.bias"], atol=1e-4, rtol=0)
    assert kept_in(run) == []


def test_an_epoch_after_an_average_has_to_be_better_than_that(
    averaged: Averaged, plugins: Plugins, tmp_path: Path
) -> None:
    run = averaged.copy(tmp_path / "run")
    _, report = finetune(run.config(True, {"training.epochs": 7, "training.head_lr": 1e-6}), plugins, Display(), run)
    assert all(line["val_loss"] > averaged.report.chosen_by["loss"] for line in metrics_in(run.path)[4:])
    assert (report.averaged, report.chosen_by) == (averaged.report.averaged, averaged.report.chosen_by)
    before, now = (load_file(each.path / "model.safetensors") for each in (averaged.run, run))
    assert all(torch.equal(tensor, before[name]) for name, tensor in now.items())


def test_the_page_and_the_files_say_which_epochs_were_averaged(
    averaged: Averaged, tmp_path: Path, ft: Callable[..., Any]
) -> None:
    run = averaged.copy(tmp_path / "run")
    told = json.loads((run.path / "report.json").read_text())
    assert (told["averaged"], told["best_epoch"]) == ([2, 3, 4], 4)
    ft("report", str(run.path), "--trust-code")
    assert "of which the average of epochs 2, 3 and 4 was saved" in (run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"swa": 3}, "--swa 3 averages 3 epochs, and there are 2 epochs; add --epochs 3"),
        ({"soup": 3}, "--soup 3 averages 3 epochs, and there are 2 epochs; add --epochs 3"),
        ({"swa": 2, "ema": 0.9}, "--swa and --ema are two ways to average the same weights"),
        ({"swa": 2, "soup": 2}, "--swa and --soup are two ways to average the same weights"),
        ({"swa": 2, "patience": 1}, "--swa 2 averages the last 2 epochs, and --patience may leave them out"),
        ({"soup": 2, "optimizer": "lbfgs"}, "--soup averages weights over steps, and --optimizer lbfgs takes none"),
    ],
    ids=str,
)
def test_averages_that_cannot_be_are_refused_by_their_names(
    keys: dict[str, Any], said: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=said):
        prepare(tiny_config(freeze=["all"], **{f"training__{k}": v for k, v in keys.items()}), plugins, Display())


def test_a_soup_is_of_fewer_epochs_where_a_time_cuts_them() -> None:
    check_averaging(TrainingConfig(soup=5, epochs=2), "adamw", timed=True)
    with pytest.raises(FtError, match="--soup 5 averages 5 epochs, and there are 2 epochs"):
        check_averaging(TrainingConfig(soup=5, epochs=2), "adamw", timed=False)
    with pytest.raises(FtError, match="--time-budget may leave them out; use --soup, or no --time-budget"):
        check_averaging(TrainingConfig(swa=2, epochs=2), "adamw", timed=True)


def test_the_plan_says_what_is_averaged(
    tiny_config: MakeConfig, plugins: Plugins, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for name, keys in (("swa", {"training__swa": 2}), ("soup", {"training__soup": 2, "freeze": ["all"]})):
        _, (plan,) = plan_phases(tiny_config(**keys), plugins, Display())
        capsys.readouterr()
        print_plan(plan, Display())
        said[name] = " ".join(capsys.readouterr().out.split())
    assert "of the last 2 epochs (SWA), in which the rates stay at half their peak; BatchNorm's" in said["swa"]
    assert "of those of the 2 best epochs" in said["soup"]
    assert "BatchNorm's statistics" not in said["soup"]
