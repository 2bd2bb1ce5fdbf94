from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

FtCommand = Callable[..., Result]


def run_in(folder: Path, accuracy: float | None, task: str = "classification") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"backbone: {{use: 'tiny:small'}}\ntask: {{use: {task}}}\n")
    figure = "mae" if task == "regression" else "accuracy"
    if accuracy is not None:
        report = {"epochs": 3, "best_epoch": 3, "val": {"loss": 0.5, figure: accuracy}, "test": None}
        (folder / "report.json").write_text(json.dumps(report))
    return folder


SOME = {"a": (0.5, "classification"), "b": (0.75, "classification"), "c": (None, "classification")}
NUMBERS = {"d": (3.0, "regression"), "e": (2.0, "regression")}


def test_best_come_first_by_figure_whichever_way_it_is_better(ft: FtCommand, tmp_path: Path) -> None:
    for name, (value, task) in (SOME | NUMBERS).items():
        run_in(tmp_path / name, value, task)
    told = ft("runs", str(tmp_path), "--sort", "figure", "--json")
    assert [Path(each["path"]).name for each in json.loads(told.stdout)] == ["b", "a", "c", "e", "d"]


def test_each_run_is_a_line_with_its_figure(ft: FtCommand, tmp_path: Path) -> None:
    run_in(tmp_path / "a [b]", 0.875)
    told = ft("runs", str(tmp_path), "--sort", "name")
    assert told.exit_code == 0
    assert "a [b]" in told.stdout
    assert "accuracy 87.5%" in told.stdout
    assert "1 run in" in told.stdout


def test_task_that_is_not_installed_costs_no_line(ft: FtCommand, tmp_path: Path) -> None:
    run_in(tmp_path / "a", 0.875, "./mine.py:Grades")
    told = ft("runs", str(tmp_path))
    assert told.exit_code == 0
    assert "accuracy 0.875" in told.stdout


@pytest.mark.parametrize("there", [True, False])
def test_folder_without_runs_says_where_they_are_made(ft: FtCommand, tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "none"
    if there:
        folder.mkdir()
    told = ft("runs", str(folder), fails=True)
    assert ("holds no runs" if there else "there is no folder") in str(told.exception)
