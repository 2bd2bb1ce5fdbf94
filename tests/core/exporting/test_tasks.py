"""What a file gives for other tasks than classes: labels, and numbers."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import ft as ft_
from conftest import TINY
from faults.repetitions import FULL

pytestmark = [pytest.mark.trains, pytest.mark.slow, pytest.mark.faults]
Ft = Callable[..., Result]


def made(folder: Path, task: str) -> Path:
    """A finished run on images of which the table says labels, or how bright they are."""
    drawn = np.random.default_rng(0)
    rows = [["path", "label"]]
    for number in range(24):
        colour = drawn.integers(30, 226, size=3)
        pixels = np.clip(colour + drawn.integers(-20, 21, size=(20 + number, 30, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        labels = ";".join(name for name, value in zip(("red", "green", "blue"), colour, strict=True) if value > 127)
        rows.append([f"{number}.png", labels if task == "multilabel" else f"{colour.mean():.1f}"])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    keys: dict[str, Any] = {"backbone": f"{TINY}:small", "weights": "none", "image_size": 16, "cache": "off"}
    with warnings.catch_warnings(action="ignore", category=ft_.FtWarning):
        return ft_.finetune(
            **keys,
            data=f"csv:{folder / 'table.csv'}",
            task=task,
            precision="fp32",
            workers=0,
            epochs=2,
            batch_size=8,
            run_dir=folder / "run",
            report={"html": False},
        ).path


@pytest.mark.parametrize("task", ["multilabel", "regression"] if FULL else ["regression"])
def test_labels_and_numbers_are_those_of_the_run(ft: Ft, tmp_path: Path, task: str) -> None:
    import torch

    labelled = task == "multilabel"
    ft("export", str(made(tmp_path, task)), "--format", "torch-export", "--out", "out", "--trust-code")
    outputs = ["logits", "probabilities"] if labelled else ["outputs", "values"]
    assert json.loads(Path("out/export.json").read_text())["outputs"] == outputs
    assert ("pipeline_tag" in Path("out/README.md").read_text()) == labelled

    def asked(*command: str) -> list[Any]:
        return [json.loads(ft(command[0], folder, *command[1:], "--trust-code").stdout) for folder in ("run", "out")]

    ours, theirs = asked("predict", "7.png", "9.png", "--json")
    for one, other in zip(ours, theirs, strict=True):
        assert one.get("labels") == other.get("labels")
        assert numbers(one, labelled) == pytest.approx(numbers(other, labelled), rel=1e-5)
    program = torch.export.load(Path("out/model.pt2")).module()
    seen = program(torch.from_numpy(np.array(Image.open("7.png"))[None]))[1][0].tolist()
    assert sorted(seen, reverse=True) == pytest.approx(numbers(ours[0], labelled), rel=1e-5)
    figure = "mean_average_precision" if labelled else "mae"
    ours, theirs = asked("evaluate", "csv:table.csv", "--json")
    assert ours[figure] == pytest.approx(theirs[figure], rel=1e-4)


def numbers(answer: Any, labelled: bool) -> list[float]:
    return list(answer["probabilities"].values()) if labelled else [answer["value"]]
