"""Runs in a few words. The folders are made by hand: no network is needed to read what a run wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ft.errors import FtError
from ft.run.summaries import figures_in, summaries_in, summary_of

CONFIG = "backbone: {use: tiny:small}\nfreeze: [{use: all}]\ntask: {use: classification}\ntraining: {epochs: 5}\n"


def run_in(folder: Path, config: str = CONFIG, **files: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def report(accuracy: float) -> dict[str, Any]:
    val = {"loss": 0.5, "accuracy": accuracy, "classes": [{"class": "a"}]}
    return {"epochs": 5, "best_epoch": 4, "val": val, "test": {"loss": 0.6, "accuracy": 0.5}, "else": 1}


def test_finished_run_has_its_saved_models_figures(tmp_path: Path) -> None:
    found = summary_of(run_in(tmp_path / "a", report_json=report(0.875)))
    assert (found.state, found.backbone, found.task, found.freeze) == (
        "finished",
        "tiny:small",
        "classification",
        ("all",),
    )
    assert found.val == {"loss": 0.5, "accuracy": 0.875}
    assert found.test == {"loss": 0.6, "accuracy": 0.5}


def test_stopped_run_says_how_far_it_came(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"epoch": epoch}) + "\n" for epoch in (1, 2, 3))
    found = summary_of(run_in(tmp_path / "a", metrics_jsonl=lines))
    assert (found.state, found.done, found.of, found.val) == ("stopped", 3, 5, {})
    assert summary_of(run_in(tmp_path / "b")).done == 0  # killed in its first epoch


def test_folds_are_one_line_with_their_mean(tmp_path: Path) -> None:
    spread = {"mean": 0.75, "deviation": 0.25, "values": [0.5, 1.0]}
    finished = [{"fold": number, "run": f"fold-{number}", "val": {"accuracy": 0.5}} for number in (1, 2)]
    folds = {"folds": 4, "finished": finished, "val": {"accuracy": spread}}
    found = summary_of(run_in(tmp_path / "a", folds_json=folds))
    assert (found.state, found.done, found.of, found.val) == ("folds", 2, 4, {"accuracy": 0.75})


def test_latest_comes_first_and_other_folders_are_no_runs(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old")):
        folder = run_in(tmp_path / name)
        for each in (folder / "config.yaml", folder):
            os.utime(each, (1e9 - age, 1e9 - age))
    (tmp_path / "photos").mkdir()
    assert [each.path.name for each in summaries_in(tmp_path)] == ["new", "old"]


@pytest.mark.parametrize(
    "files",
    [
        {"config": "[1, 2"},
        {"report_json": "{"},
        {"report_json": {"epochs": "five", "best_epoch": 1, "val": {}}},
        {"metrics_jsonl": "no json\n"},
        {"folds_json": {"folds": 1}},
    ],
)
def test_run_that_cannot_be_read_says_why_and_hides_no_other(tmp_path: Path, files: dict[str, Any]) -> None:
    run_in(tmp_path / "broken", **files)
    run_in(tmp_path / "whole", report_json=report(1.0))
    found = {each.path.name: each for each in summaries_in(tmp_path)}
    assert found["whole"].state == "finished"
    assert found["broken"].state == "unreadable"
    assert "broken" in found["broken"].problem


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="there is no folder"):
        summaries_in(tmp_path / "nowhere")


def test_figures_are_the_finite_numbers_of_old_and_new_reports() -> None:
    assert figures_in({"loss": 1, "mae": float("nan"), "targets": []}) == {"loss": 1.0}
    assert figures_in({"figures": {"loss": 2.0}}) == {"loss": 2.0}
