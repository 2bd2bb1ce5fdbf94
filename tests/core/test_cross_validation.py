"""All folds: what comes of them, and how they go on after whatever stopped them."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

import warm_python
from conftest import TINY
from faults.interrupted_commands import wait_for
from ft.config.schema import Config
from ft.cross_validation import cross_validate
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folds import start_folds
from ft.tracking.events import EpochDone, Event, RunStarted

MakeConfig = Callable[..., Config]
FLAGS = (
    *(
        "--backbone",
        f"{TINY}:small",
        "--weights",
        "none",
        "--image-size",
        "16",
        "--workers",
        "0",
        "--precision",
        "fp32",
    ),
    *("--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}", "--lr", "0.05"),
)
MAIN = "from ft.cli import main; main()"


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "folds.json").read_text())
    return found


def validated(folder: Path) -> list[str]:
    with (folder / "images.csv").open(encoding="utf-8", newline="") as file:
        return [row["path"] for row in csv.DictReader(file) if row["split"] == "val"]


def test_all_folds_are_run_summed_up_and_not_run_again(ft: Callable[..., Result], tmp_path: Path) -> None:
    printed = ft("run", *FLAGS, "--epochs", "1", "--folds", "3", "--test-fraction", "0.2", "--run-dir", "r").stdout
    folder = tmp_path / "r"
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "folds.json", "fold-1", "fold-2", "fold-3"}
    every = [path for fold in (1, 2, 3) for path in validated(folder / f"fold-{fold}")]
    assert len(every) == len(set(every)) == 24 - 4
    found = content(folder)
    reports = [json.loads((folder / f"fold-{fold}" / "report.json").read_text()) for fold in (1, 2, 3)]
    for part in ("val", "test"):
        for name in ("loss", "accuracy", "macro_f1"):
            values = [report[part][name] for report in reports]
            spread = found[part][name]
            assert spread["values"] == values
            assert (spread["mean"], spread["deviation"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    means = [f"{found['val'][name]['mean']:.4f}" for name in ("loss", "accuracy", "macro_f1")]
    assert f" mean {' '.join(means)} deviation" in " ".join(printed.split())
    again = ft("run", "--resume", "r", "--trust-code")
    assert printed.endswith(again.stdout)
    assert "fold 2 of 3 is finished" in again.stderr


@pytest.mark.slow
def test_after_kill_9_finished_folds_stay_and_the_one_that_was_interrupted_goes_on(
    ft: Callable[..., Result], tmp_path: Path
) -> None:
    args = ["run", *FLAGS, "--epochs", "12", "--folds", "2"]
    process = warm_python.start(MAIN, [*args, "--run-dir", "r"], tmp_path)
    wait_for((tmp_path / "r" / "fold-2" / "last.pt").exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert len(content(tmp_path / "r")["finished"]) == 1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "r" / "fold-1").iterdir()}
    ft("run", "--resume", "r", "--trust-code")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r" / "fold-1").iterdir()} == before
    assert [each["fold"] for each in content(tmp_path / "r")["finished"]] == [1, 2]
    ft(*args, "--fold", "2", "--run-dir", "alone")
    one, other = (load_file(tmp_path / run / "model.safetensors") for run in ("alone", "r/fold-2"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_signal_is_told_with_how_all_folds_go_on(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(split__folds=2)

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and event.record.epoch == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StopAsked) as stopped:
        cross_validate(config, plugins, Display(), listeners=(listen,))
    assert stopped.value.folder == config.run_dir
    assert content(stopped.value.folder)["finished"] == []


def test_an_error_in_a_later_fold_says_how_the_others_go_on(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(split__folds=2, training__epochs=1)

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted) and event.folder.name == "fold-2":
            raise FtError("there is no more light")

    with pytest.raises(
        FtError, match=r"no more light\nFinished folds are kept; the others go on with: ft run --resume"
    ):
        cross_validate(config, plugins, Display(), listeners=(listen,))
    assert len(content(config.run_dir or Path())["finished"]) == 1


def test_a_mistake_before_the_first_fold_leaves_no_folder(ft: Callable[..., Result], tmp_path: Path) -> None:
    result = ft("run", *FLAGS, "--folds", "30", "--run-dir", "r", fails=True)
    assert str(result.exception) == "24 images cannot be in 30 folds; --folds 24 at most"
    assert not (tmp_path / "r").exists()


def test_a_plan_of_folds_says_what_each_has_and_is_taken_as_a_config(ft: Callable[..., Result], tmp_path: Path) -> None:
    printed = ft("plan", *FLAGS, "--folds", "5").stdout
    assert "ft run trains 5 times, once for each fold, and sums up" in printed
    assert [line.split() for line in printed.splitlines()[-6:]] == [
        *(["1", "19", "5"], ["2", "19", "5"], ["3", "19", "5"], ["4", "19", "5"], ["5", "20", "4"]),
        [],
    ]
    (tmp_path / "plan.json").write_text(ft("plan", *FLAGS, "--folds", "5", "--json").stdout)
    assert ft("plan", "--config", "plan.json").stdout.endswith("\n".join(printed.splitlines()[-6:]) + "\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "--resume", "r", "--epochs", "3"], "leave out what would change training.epochs, or"),
        (["run", "--resume", "r"], "names the code"),
        (["predict", "r", "x.png"], "r holds a run for each fold; choose one, as r/fold-1"),
        (["run", *FLAGS, "--folds", "2", "--run-dir", "r"], "r is not empty; continue it with: ft run --resume r"),
    ],
)  # fmt: skip
def test_what_a_folder_of_folds_is_not_for_is_said(
    args: list[str], message: str, ft: Callable[..., Result], tmp_path: Path, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    start_folds(tiny_config(split__folds=2, run_dir=tmp_path / "r"))
    (tmp_path / "x.png").touch()
    assert message in str(ft(*args, fails=True).exception)
