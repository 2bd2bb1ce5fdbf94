"""A finished run, exported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ft
from conftest import TINY


def photos(folder: Path) -> Path:
    """Ten images of each of four colours, of several sizes."""
    drawn = np.random.default_rng(0)
    for name, colour in {
        "blue": (40, 60, 200),
        "green": (50, 180, 60),
        "red": (190, 40, 50),
        "white": (230,) * 3,
    }.items():
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.array(colour) + drawn.integers(-25, 26, size=(24 + 3 * number, 40, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a finished run of a tiny network on images of several sizes."""
    folder = tmp_path_factory.mktemp("exporting")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        with warnings.catch_warnings(action="ignore", category=ft.FtWarning):  # of few images
            made = ft.finetune(
                backbone=f"{TINY}:small",
                weights="none",
                data=str(photos(folder / "photos")),
                image_size=16,
                augment="geometric",
                precision="fp32",
                device="cpu",
                workers=0,
                epochs=12,
                lr=0.03,
                head_lr=0.03,
                batch_size=8,
                run_dir=folder / "run",
                report={"html": False},
            )
        yield made.path


@pytest.fixture(scope="session")
def onnx(run: Path) -> Path:
    """The run's model as ONNX, in a folder beside it."""
    return ft.export(run, "onnx", out=run.parent / "onnx", trust_code=True).path
