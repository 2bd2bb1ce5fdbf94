"""Finished runs of the three tasks, to be served."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ft
from conftest import TINY

TASKS = ("classification", "multilabel", "regression")


def photos(folder: Path, task: str) -> Path:
    """Images of several sizes, and the table that says what they are: how bright, or of which colours."""
    drawn = np.random.default_rng(0)
    rows = [["path", "label"]]
    for number in range(24):
        colour = drawn.integers(30, 226, size=3)
        pixels = np.clip(colour + drawn.integers(-20, 21, size=(20 + number, 30, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        some = [name for name, value in zip(("red", "green", "blue"), colour, strict=True) if value > 127]
        label = {"multilabel": ";".join(some), "regression": f"{colour.mean():.1f}"}
        rows.append([f"{number}.png", label.get(task, "bright" if colour.mean() > 127 else "dark <b>")])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a finished run of a task, of a tiny network; `table.csv` and its images are beside it."""

    @cache
    def make(task: str) -> Path:
        folder = photos(tmp_path_factory.mktemp(task), task)
        with warnings.catch_warnings(action="ignore", category=ft.FtWarning):  # of few images
            made = ft.finetune(
                backbone=f"{TINY}:small",
                weights="none",
                data=f"csv:{folder / 'table.csv'}",
                task=task,
                image_size=16,
                precision="fp32",
                device="cpu",
                workers=0,
                cache="off",
                epochs=1,
                batch_size=8,
                run_dir=folder / "run",
                report={"html": False},
            )
        return made.path

    return make
