"""What the engine promises holds for each task: the same bits where features are kept, a run was stopped or killed, and
where it is measured again; and what does not apply to a task is refused by its name."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import load_file

from finished_runs import FinishedRun, assert_same_outcome, metrics_in
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.task.evaluation import figures_of
from signal_at_progress import SignalAtProgress
from tiny_provider import __file__ as TINY

MakeConfig = Callable[..., Config]
Begin = Callable[..., Config]
Command = Callable[..., Result]
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "names": ("multilabel", {}),
    "columns": ("multilabel", {"columns": ["bright", "red"]}),
    "number": ("regression", {"label_column": "value"}),
    "numbers": ("regression", {"columns": ["value", "size"]}),
}
WAYS: dict[str, dict[str, Any]] = {
    "names": {"model": "with-aux"},
    "columns": {"head": {"use": "mlp", "hidden": [6]}, "training__mixup": 0.4},
    "number": {"model": "with-aux", "freeze": ["fisher:1"], "training__monitor": "r2"},
    "numbers": {"head": {"use": "mlp", "hidden": [6]}, "training__mixup": 0.4, "freeze": ["until:layer1"]},
}
FIRST = {"multilabel": ("mean_average_precision", max), "regression": ("mae", min)}
every_form = pytest.mark.parametrize("form", TASKS)


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of images that are bright, or red, or both or none, which of some nobody knows; and of numbers."""
    folder, draw, rows = tmp_path_factory.mktemp("labelled"), random.Random(0), []
    for number in range(26):
        bright, red, value = draw.random() < 0.5, draw.random() < 0.4, draw.random()
        base = round(60 + 60 * value + 40 * bright)
        noise = [round(draw.gauss(each, 12)) for _ in range(16 * 16) for each in (base + 80 * red, base, base)]
        pixels = bytes(max(0, min(255, each)) for each in noise)
        Image.frombytes("RGB", (16, 16), pixels).save(folder / f"{number}.png")
        names = ";".join(name for name, has in (("bright", bright), ("red", red)) if has)
        known = "" if number % 5 == 0 else int(bright), "" if number % 5 == 2 else int(red)
        split = "test" if number % 6 == 5 else "val" if number % 4 == 3 else "train"
        size, patient = f"{1000 + 100 * value:.1f}", number // 2
        rows.append((f"{number}.png", names, *known, f"{value:.3f}", size, patient, split))
    path = folder / "images.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "bright", "red", "value", "size", "patient", "part"), *rows])
    return path


@pytest.fixture
def begin(tiny_config: MakeConfig, labelled: Path, tmp_path: Path) -> Begin:
    """Make the config of a run called `name`, for labels of one of the forms above."""

    def make(form: str, name: str, model: str = "small", **keys: Any) -> Config:
        task, settings = TASKS[form]
        usual = {
            "task": task,
            "data": {"use": f"csv:{labelled}", "split_column": "part", **settings},
            "freeze": ["all"],
        }
        usual |= {"images__augment": "none", "training__batch_size": 6, "training__lr": 0.05}
        return tiny_config(model, run_dir=tmp_path / name, **{**usual, **keys})

    return make


class Killed(BaseException):
    """The process is gone."""


class KilledWhen(Display):
    """Ends everything when something is said that has a text in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def say(self, text: str) -> None:
        if self.text in text:
            raise Killed
        super().say(text)


def json_in(run: Run, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((run.path / name).read_text())
    return read


def assert_same_run(one: Run, other: Run) -> None:
    """Epochs, weights, thresholds and figures are equal in every bit."""
    assert metrics_in(one.path) == metrics_in(other.path)
    ours, theirs = (load_file(run.path / "model.safetensors") for run in (one, other))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert json_in(one, "model.json") == json_in(other, "model.json")
    (a, b) = (json_in(run, "report.json") for run in (one, other))
    assert (a["val"], a["test"], a["best_epoch"]) == (b["val"], b["test"], b["best_epoch"])


@every_form
def test_kept_features_a_stop_and_a_kill_change_no_bit(form: str, begin: Begin, plugins: Plugins) -> None:
    keys = {"images__augment": "standard", "images__views": 2, "training__epochs": 5, **WAYS[form]}
    plain = FinishedRun(begin(form, "plain", cache__promise="off", **keys), plugins)
    config = begin(form, "cached", cache__promise="exact", **keys)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 4/5", 3 * 3 + 2))
    run = Run(config.run_dir)
    with pytest.raises(Killed):  # model.json has what was chosen on validation images, and there is no report
        finetune(run.config(True), plugins, KilledWhen("test image"), run)
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert report.cache.promise == "exact"
    assert_same_run(plain.run, run)

    name, best = FIRST[TASKS[form][0]]
    name, best = ("r2", max) if form == "number" else (name, best)
    reached = [epoch[f"val_{name}"] for epoch in plain.metrics]
    assert reached[plain.report.best_epoch - 1] == best(reached)


@pytest.mark.parametrize("form", ["columns", "numbers"])
def test_a_sweep_trains_heads_as_the_loop_does(form: str, begin: Begin, plugins: Plugins) -> None:
    keys = {"training__head_lr": 0.05, "training__weight_decay": 0.01}
    loop = FinishedRun(begin(form, "loop", **keys), plugins)
    sweep = {"use": "sweep", "rates": [0.05, 1e-6], "decays": [0.01]}
    swept = FinishedRun(begin(form, "swept", training__optimizer=sweep), plugins)
    assert swept.report.tried[1].val == pytest.approx(loop.report.chosen_by, rel=1e-3)
    name, best = FIRST[TASKS[form][0]]
    assert swept.report.chosen_by[name] == best(each.val[name] for each in swept.report.tried)


@pytest.mark.parametrize("form", ["columns", "numbers"])
def test_a_fit_that_was_stopped_ends_in_the_same_bits(form: str, begin: Begin, plugins: Plugins) -> None:
    whole = FinishedRun(begin(form, "whole", training__optimizer="lbfgs"), plugins)
    config = begin(form, "stopped", training__optimizer="lbfgs")
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("penalties", 2))
    run = Run(config.run_dir)
    finetune(run.config(True), plugins, Display(), run)
    assert_same_run(whole.run, run)


@pytest.mark.parametrize("form", ["names", "number"])
def test_a_run_goes_on_with_another_freeze(form: str, begin: Begin, plugins: Plugins) -> None:
    first = FinishedRun(begin(form, "run"), plugins)
    flags = {"freeze": ["until:layer1"], "train": [], "training.epochs": 3}
    _, report = finetune(first.run.config(True, flags), plugins, Display(), first.run)
    assert (report.epochs, metrics_in(first.run.path)[:2]) == (3, first.metrics)
    twice = FinishedRun(begin(form, "again"), plugins)
    assert_same_outcome(first, twice)


@pytest.mark.parametrize("form", ["columns", "numbers"])
def test_measured_again_the_figures_are_the_report_s(
    form: str, begin: Begin, plugins: Plugins, labelled: Path, ft: Command
) -> None:
    FinishedRun(begin(form, "run", machine__precision="bf16"), plugins)
    columns = f"data.columns=[{','.join(TASKS[form][1]['columns'])}]"
    evaluate = ["evaluate", "run", f"csv:{labelled}", "--trust-code", "--json", "--device", "cpu"]
    evaluate += ["--set", "data.split_column=part"]
    report = json.loads(Path("run/report.json").read_text())
    for split in ("val", "test"):
        told = json.loads(ft(*evaluate, "--split", split, "--set", columns).stdout)
        del told["images"]
        assert told == report[split]
    if form == "numbers":
        with pytest.raises(FtError, match=r"a label is empty(.|\n)*--set 'data.columns=\[\"value\", \"size\"\]'"):
            ft(*evaluate, "--split", "val")


@pytest.mark.parametrize("form", ["names", "number"])
def test_training_stops_when_neither_the_first_figure_nor_the_loss_gets_better(
    form: str, begin: Begin, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, better = FIRST[TASKS[form][0]]
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    figures = rising[::-1] if better is max else rising  # each worse than the one before
    losses = [0.9, 0.7, 0.8, 0.75, 0.72, 0.71]
    told = iter([{name: figure, "loss": loss} for figure, loss in zip(figures, losses, strict=True)])
    monkeypatch.setattr("ft.training.loop.figures_of", lambda *args: {**figures_of(*args), **next(told)})
    _, report = finetune(begin(form, "patient", training__epochs=6, training__patience=2), plugins, Display())
    assert (report.epochs, report.best_epoch) == (4, 1)


def test_folds_of_whole_groups_sum_up_the_figures_of_the_task(labelled: Path, ft: Command) -> None:
    usual = ["--weights", "none", "--freeze", "all", "--image-size", "16", "--workers", "0", "--device", "cpu"]
    source = ["--backbone", f"{TINY}:Tiny:small", "--data", f"csv:{labelled}"]
    folds = ["--folds", "2", "--split-group", "patient", "--epochs", "1", "--run-dir", "r"]
    numbers = ["--task", "regression", "--set", "data.label_column=value"]
    told = ft("run", *source, *usual, *folds, *numbers)
    found = json.loads(Path("r/folds.json").read_text())["val"]
    reports = [json.loads(Path(f"r/fold-{fold}/report.json").read_text())["val"] for fold in (1, 2)]
    for name in ("mae", "rmse", "r2", "loss"):
        assert found[name]["values"] == [report[name] for report in reports]
    assert "its share of every range of numbers" in told.stderr


@pytest.mark.parametrize(
    ("form", "flags", "message"),
    [
        (
            "number",
            ["--label-smoothing", "0.1"],
            r"--label-smoothing .* is nothing to task 'regression', whose .*delta",
        ),
        ("names", ["--class-weights", "balanced"], "--class-weights .* is nothing to task 'multilabel'"),
        ("number", ["--monitor", "accuracy"], "--monitor accuracy: task 'regression' has .* mae, rmse, r2, loss"),
        ("number", ["--head", "keep"], "keeps 'fc', which gives 10 numbers an image, and the task needs 1; use --head"),
        ("names", ["--set", "task.sampler=balanced"], r"unknown setting 'task.sampler'. It takes: loss"),
        ("number", ["--set", "task.delta=2", "--set", "task.loss=squared"], "delta is the Huber loss's; leave it out"),
        (
            "names",
            ["--set", "task.most_weight=2"],
            "most_weight bounds balanced weights; add positive_weights=balanced",
        ),
        ("names", ["--set", "task.thresholds=1.5"], "a threshold is a probability, more than 0 and less than 1"),
        ("columns", ["--set", "data.columns=[red,red]"], "data.columns names 'red' 2 times; name each column once"),
        ("number", ["--optimizer", "lbfgs", "--mixup", "0.2"], "mixup blends images anew"),
        (
            "number",
            ["--task", "classification"],
            r"one image of every kind(.|\n)*if they are quantities, use --task regr",
        ),
    ],
)
def test_what_does_not_apply_is_refused_by_name(
    form: str, flags: list[str], message: str, labelled: Path, ft: Command
) -> None:
    task, settings = TASKS[form]
    data = [f"--set=data.{key}={value}" for key, value in settings.items()]
    source = ["--backbone", f"{TINY}:Tiny:small", "--weights", "none", "--freeze", "all", "--data", f"csv:{labelled}"]
    with pytest.raises(FtError, match=message):
        ft("plan", *source, *data, "--task", task, *flags)


def test_data_are_checked_for_a_task(labelled: Path, ft: Command) -> None:
    data = ["data", "check", f"csv:{labelled}"]
    assert "26 images of 2 labels" in ft(*data, "--task", "multilabel").stdout
    told = ft(*data, "--task", "regression", fails=True)
    assert "a label is empty; regression needs a number for every image" in told.stdout
    with pytest.raises(FtError, match=r"no task named 'regresion'\. Did you mean 'regression'\?"):
        ft(*data, "--task", "regresion")


def test_what_is_said_of_labels_is_said_of_the_images_that_are_left(
    labelled: Path, ft: Command, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    rows = list(csv.reader(labelled.read_text().splitlines()))
    table = [[str(labelled.parent / row[0]), *row[1:]] for row in rows[1:]]
    broken = [str(tmp_path / "broken.png"), "", "", "0", "", "", "", "train"]
    with (tmp_path / "more.csv").open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *table, broken])
    source = ["--backbone", f"{TINY}:Tiny:small", "--weights", "none", "--freeze", "all", "--data", "csv:more.csv"]
    settings = ["--task", "multilabel", "--set", "data.columns=[bright,red]", "--set", "data.split_column=part"]
    told = ft("plan", *source, *settings, "--bad-images", "skip").output
    (line,) = [line for line in told.splitlines() if "labels that are not known" in line]
    train = [row for row in rows[1:] if row[-1] == "train"]
    unknown = sum(cell == "" for row in train for cell in row[2:4])
    assert f"{100 * unknown / (2 * len(train)):.3g} % in train" in line
