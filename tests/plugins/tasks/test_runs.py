"""Runs of the three tasks on one set of images: what they save is what predict and evaluate use"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

import ft as front
from tiny_provider import __file__ as TINY

Command = Callable[..., Result]
COLUMNS = ("path", "label", "bright", "red", "value", "size")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Images that are bright, or red, or both or none, with a number that their colours tell."""
    draw, rows = random.Random(0), []
    for number in range(32):
        bright, red, value = draw.random() < 0.5, draw.random() < 0.4, draw.random()
        base = round(60 + 60 * value + 40 * bright)
        colour = [base + 80 * red, base, base]
        noise = bytes(max(0, min(255, round(draw.gauss(each, 12)))) for _ in range(20 * 20) for each in colour)
        Image.frombytes("RGB", (20, 20), noise).save(tmp_path / f"{number}.png")
        names = ";".join(name for name, has in (("bright", bright), ("red", red)) if has)
        known = "" if number % 5 == 0 else int(bright)
        rows.append((f"{number}.png", names, known, int(red), f"{value:.3f}", f"{1000 + 100 * value:.1f}"))
    path = tmp_path / "images.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def run(ft: Command, table: Path, name: str, *flags: str) -> dict[str, Any]:
    """Train a head on `table`, whose report is returned."""
    usual = ["--weights", "none", "--freeze", "all", "--image-size", "16", "--workers", "0", "--device", "cpu"]
    arithmetic = ["--set", "machine.precision=fp32", "--batch-size", "8", "--optimizer", "lbfgs"]
    source = ["--backbone", f"{TINY}:Tiny:small", "--data", f"csv:{table}", "--run-dir", name]
    ft("run", *source, *usual, *arithmetic, *flags)
    report: dict[str, Any] = json.loads(Path(name, "report.json").read_text())
    return report


def evaluated(ft: Command, table: Path, name: str, *flags: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        ft("evaluate", name, f"csv:{table}", "--split", "val", "--trust-code", "--json", *flags).stdout
    )
    return told


def figures(of: dict[str, Any], names: Sequence[str]) -> list[float]:
    return [of[name] for name in names]


@pytest.mark.slow
def test_three_tasks_on_one_set_of_images(ft: Command, table: Path, decoded: list[Path]) -> None:
    several = ["--task", "multilabel"]
    report = run(ft, table, "several", *several)
    names = ["mean_average_precision", "macro_f1", "micro_f1", "loss"]
    assert figures(evaluated(ft, table, "several"), names) == figures(report["val"], names)
    kept = json.loads(Path("several/model.json").read_text())["numbers"]["thresholds"]
    rows = report["val"]["labels"]
    assert [row["label"] for row in rows] == ["bright", "red"]
    assert [row["threshold"] for row in rows] == kept

    model = front.load("several", trust_code=True)
    answers = model.predict([f"{number}.png" for number in range(8)])
    for answer in answers:
        over = {
            name for name, least in zip(("bright", "red"), kept, strict=True) if answer.probabilities[name] >= least
        }
        assert set(answer.labels) == over

    decoded.clear()
    switches = ["--set", "data.columns=[red,bright]"]
    report = run(ft, table, "columns", *several, *switches, "--set", "task.positive_weights=balanced")
    assert figures(evaluated(ft, table, "columns", *switches), names) == figures(report["val"], names)

    report = run(ft, table, "number", "--task", "regression", "--set", "data.label_column=value")
    assert not {path.name for path in decoded} - {Path(path).name for path in validated("columns", "number")}
    names = ["mae", "rmse", "r2", "loss"]
    told = evaluated(ft, table, "number", "--set", "data.label_column=value")
    assert figures(told, names) == figures(report["val"], names)
    (answer,) = json.loads(ft("predict", "number", "3.png", "--trust-code", "--json").stdout)
    assert answer["value"] == front.load("number", trust_code=True).predict("3.png").value

    run(ft, table, "numbers", "--task", "regression", "--set", "data.columns=[value,size]")
    both = front.load("numbers", trust_code=True).predict("3.png").values
    assert both["size"] == pytest.approx(1000 + 100 * both["value"], abs=5)


def validated(*names: str) -> list[str]:
    """The images that these runs measured, whose saved models see them anew."""
    rows = [row for name in names for row in csv.DictReader(Path(name, "images.csv").read_text().splitlines())]
    return [row["path"] for row in rows if row["split"] == "val"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "regression"], r"\.png: (a label is empty|the label holds)"),
        (["--task", "regression", "--set", "data.columns=[bright]"], "7 images in .* have no label"),
        (["--task", "multilabel", "--set", "data.columns=[value]"], r"0\.png: column 'value' holds '0\.\d+'"),
        (["--task", "multilabel", "--set", "data.label_column=red"], "every training image has exactly one label"),
        (["--task", "classification", "--set", "data.columns=[red]"], "classification reads one column of class names"),
        (["--task", "multilabel", "--monitor", "accuracy"], "It has: mean_average_precision, macro_f1, micro_f1, loss"),
    ],
)
def test_what_does_not_fit_a_task_is_one_line(ft: Command, table: Path, flags: list[str], message: str) -> None:
    with pytest.raises(front.FtError, match=message):
        ft("plan", "--backbone", f"{TINY}:Tiny:small", "--weights", "none", "--data", f"csv:{table}", *flags)
