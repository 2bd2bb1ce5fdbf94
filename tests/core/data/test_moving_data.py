"""A run goes on where its images lie elsewhere by now."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from ft.config.loading import load_config

TINY = f"{Path(__file__).parents[2] / 'tiny_provider.py'}:Tiny"


@pytest.fixture
def started(tmp_path: Path, ft: Callable[..., Result]) -> Path:
    """A folder with a run of an epoch, on images in `photos`."""
    for number, label in enumerate(("train", "plane")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 8), (90 * number, 40 * i, 0)).save(tmp_path / "photos" / label / f"{i}.png")
    flags = "--weights none --freeze all --image-size 16 --workers 0 --epochs 1 --run-dir run"
    ft("run", "--backbone", f"{TINY}:small", "--data", "./photos", "--set", "data.layout=classes", *flags.split())
    return tmp_path


RESUME = ("run", "--trust-code", "--resume")


def listed(folder: Path) -> set[Path]:
    with (folder / "run/images.csv").open(encoding="utf-8", newline="") as file:
        return {Path(row["path"]).parents[1] for row in csv.DictReader(file)}


def test_it_says_once_where_they_are_now(
    started: Path, ft: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    (started / "photos").rename(started / "moved")
    lost = ft(*RESUME, "run", "--epochs", "2", fails=True)
    assert str(lost.exception).endswith("If the images only lie elsewhere now, say where: --data PATH")
    (started / "here").mkdir()
    monkeypatch.chdir(started / "here")
    said = ft(*RESUME, "../run", "--epochs", "2", "--data", "../moved").stderr
    assert f"10 of 10 images lie elsewhere than {started}" in said
    assert listed(started) == {started / "moved"}
    assert load_config(started / "run/config.yaml").data.model_dump() == {
        "use": str(started / "moved"),
        "layout": "classes",
    }
    assert "lie elsewhere" not in ft(*RESUME, str(started / "run"), "--epochs", "3").stderr


def test_an_image_that_cannot_be_read_any_more_is_to_be_put_back(started: Path, ft: Callable[..., Result]) -> None:
    (started / "photos/plane/0.png").write_bytes(b"nothing")
    refused = str(ft(*RESUME, "run", "--epochs", "2", fails=True).exception)
    assert "1 of 10 images cannot be read:\n" in refused
    assert refused.endswith("put these back, or begin a new run with --bad-images skip")


def test_other_images_are_refused_wherever_they_lie(started: Path, ft: Callable[..., Result]) -> None:
    (started / "photos").rename(started / "moved")
    Image.new("RGB", (8, 8), "white").save(started / "moved/plane/0.png")
    refused = ft(*RESUME, "run", "--epochs", "2", "--data", "moved", fails=True)
    assert f"1 of 10 images changed since then:\n  {started}/moved/plane/0.png has another content" in str(
        refused.exception
    )
    assert listed(started) == {started / "photos"}
