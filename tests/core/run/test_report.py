"""The report says what the saved model does, and what in that may be unexpected."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.run.report import Report, doubts, measured_otherwise
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Ft = Callable[..., Result]
HEAD_ONLY: dict[str, Any] = {"freeze": ["all"], "training__lr": 0.05, "training__epochs": 3}
RUNS: dict[str, dict[str, Any]] = {
    "exact": {**HEAD_ONLY, "cache__promise": "exact"},
    "close": {**HEAD_ONLY, "cache__promise": "close"},
    "fast": {**HEAD_ONLY, "cache__promise": "fast"},
    "bf16": {**HEAD_ONLY, "machine__precision": "bf16"},
    "lbfgs": {**HEAD_ONLY, "training__optimizer": "lbfgs", "machine__precision": "bf16"},
    "plain": {"cache__promise": "off", "machine__precision": "bf16"},
    "decoded images kept": {"images__augment": "none", "training__batch_size": 5},
    "other layout and batches": {**HEAD_ONLY, "machine__channels_last": False, "training__batch_size": 3},
    "auxiliary classifier": {"model": "with-aux", **HEAD_ONLY, "machine__precision": "bf16"},
    "a state that is no tensor": {"model": "remembering-later", "training__lr": 0.05},
}


def evaluated(ft: Ft, run: Run, split: str) -> dict[str, Any]:
    found = json.loads(ft("evaluate", str(run.path), f"csv:{run.path}/images.csv", "--split", split, "--json",
                          "--device", "cpu", "--workers", "0", "--trust-code").stdout)  # fmt: skip
    del found["images"]
    return dict(found)


def assert_reported_as_evaluated(ft: Ft, run: Run) -> None:
    report = run.read_json("report.json")
    assert (report["val"], report["test"]) == (evaluated(ft, run, "val"), evaluated(ft, run, "test"))


def drawn(folder: Path) -> Path:
    for shade, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (32, 32), (20 * number, 120 * shade, 0)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("keys", RUNS.values(), ids=RUNS)
def test_the_reported_figures_are_digit_by_digit_those_of_ft_evaluate(
    keys: dict[str, Any], tiny_config: MakeConfig, plugins: Plugins, ft: Ft
) -> None:
    run, _ = finetune(tiny_config(split__test=0.2, **keys), plugins, Display())
    assert_reported_as_evaluated(ft, run)


def test_so_are_those_of_a_run_that_was_stopped_and_goes_on_with_another_freeze(
    tiny_config: MakeConfig, plugins: Plugins, ft: Ft
) -> None:
    with pytest.raises(StopAsked) as asked:
        finetune(tiny_config(split__test=0.2, machine__precision="bf16"), plugins, SignalAtProgress("epoch 2/2", 3))
    run = Run(asked.value.folder)
    for flags in ({}, {"freeze": ["all"], "training.epochs": 4}):
        finetune(run.config(True, flags), plugins, Display(), run)
        assert_reported_as_evaluated(ft, run)


def test_a_stop_while_the_saved_model_is_measured_loses_nothing(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], cache__promise="exact")  # so nothing else is called evaluating
    with pytest.raises(StopAsked) as asked:
        finetune(config, plugins, SignalAtProgress("evaluating", 1))
    run = Run(asked.value.folder)
    assert {path.name for path in run.path.iterdir()} & {"report.json", "model.safetensors"} == {"model.safetensors"}
    _, report = finetune(run.config(True), plugins, Display(), run)
    assert (report.epochs, run.read_json("report.json")["val"]["loss"]) == (2, report.val["loss"])


def test_an_image_that_changed_since_the_run_began_is_not_measured(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    class Changing(Display):
        """Replaces an image of the validation once training is over."""

        def say(self, text: str) -> None:
            if text.startswith("measuring"):
                with (tmp_path / "run" / "images.csv").open(encoding="utf-8", newline="") as file:
                    paths = [row["path"] for row in csv.DictReader(file) if row["split"] == "val"]
                Image.new("RGB", (32, 32)).save(paths[0])

    config = tiny_config(freeze=["all"], data=f"folder:{drawn(tmp_path / 'photos')}")
    prepare(config, plugins, Display())  # a plan keeps no images, so the run decodes what it measures
    with pytest.raises(FtError, match="changed since the run began"):
        finetune(config, plugins, Changing())


@pytest.fixture
def report(tiny_config: MakeConfig, plugins: Plugins) -> Report:
    return finetune(tiny_config(freeze=["all"], data={"use": "demo", "images_per_class": 20, "size": 32}),
                    plugins, Display())[1]  # fmt: skip


def chosen_by(report: Report, more: int) -> Report:
    """The report of a run in which training saw so many more images of 16 right than the saved model gets."""
    accuracy = report.val["accuracy"] + more / 16
    return replace(report, chosen_by={"loss": 0.5, "accuracy": accuracy, "macro_f1": 0.5}, precision="bf16")


def test_figures_that_differ_by_more_than_an_image_are_said(report: Report) -> None:
    run = Path("run")
    assert sum(each["support"] for each in report.val.plain()["classes"]) == 16
    for more in (-1, 0, 1):
        assert list(doubts(chosen_by(report, more), run)) == []
    (fewer,) = doubts(chosen_by(report, 3), run)
    assert f"{report.val['accuracy']:.1%}: 3 of 16 images fewer" in fewer
    assert f"{report.val['accuracy'] + 3 / 16:.1%} in bf16" in fewer
    (more,) = doubts(chosen_by(replace(report, cache=replace(report.cache, promise="fast")), -2), run)
    assert "on features kept in bf16 (--cache fast)" in more
    assert "2 of 16 images more" in more


def test_a_phase_of_which_nothing_is_in_the_model_is_said(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], training__monitor="loss", training__lr=1e-12)
    run, first = finetune(config, plugins, Display())
    assert list(doubts(first, run.path)) == []
    _, report = finetune(run.config(True, {"training.epochs": 3}), plugins, Display(), run)
    assert not any("freeze changed" in doubt for doubt in doubts(report, run.path))
    flags = {"freeze": ["until:stem"], "training.epochs": 6, "training.lr": 0.5}
    _, report = finetune(run.config(True, flags), plugins, Display(), run)
    report = replace(report, best_epoch=2)
    (said,) = [doubt for doubt in doubts(report, run.path) if "freeze changed" in doubt]
    assert "the best epoch, 2, is from before the freeze changed: nothing of the 3 epochs since then" in said
    assert f"ft run --resume {run.path} --epochs 11" in said
    assert not any("freeze changed" in doubt for doubt in doubts(replace(report, best_epoch=4), run.path))


@pytest.mark.parametrize(
    ("promise", "precision", "said"),
    [
        ("fast", "fp32", "on features kept in bf16 (--cache fast)"),
        ("fast", "bf16", "on features kept in bf16 (--cache fast)"),
        ("close", "fp32", "on features kept of folded layers (--cache close)"),
        ("off", "bf16", "in bf16"),
        ("exact", "fp32", ""),
        ("off", "fp32", ""),
    ],
)
def test_how_epochs_were_measured_is_said_where_figures_may_differ(promise: str, precision: str, said: str) -> None:
    assert measured_otherwise(promise, precision) == said


@pytest.mark.parametrize(("precision", "said"), [("bf16", "; the epochs were measured in bf16"), ("fp32", "")])
def test_the_saved_model_is_measured_in_words_that_fit_the_epochs(
    tiny_config: MakeConfig, plugins: Plugins, capfd: pytest.CaptureFixture[str], precision: str, said: str
) -> None:
    config = tiny_config(training__epochs=1, machine__precision=precision, cache__promise="off")
    finetune(config, plugins, Display())
    (line,) = [each for each in capfd.readouterr().err.splitlines() if each.startswith("measuring the saved")]
    assert line.endswith(f"validation images, in fp32 as ft evaluate{said}")
