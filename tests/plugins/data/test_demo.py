"""demo"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ft import FtError, Sample
from ft_data import demo
from ft_data.demo import Settings, load

SMALL = Settings(images_per_class=3, size=32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(samples: list[Sample]) -> list[bytes]:
    return [sample.path.read_bytes() for sample in samples]


def test_the_demo_has_as_many_images_of_four_shapes_as_asked_for() -> None:
    samples = list(load(None, SMALL))
    assert Counter(sample.label for sample in samples) == dict.fromkeys(["circle", "cross", "square", "triangle"], 3)
    with Image.open(samples[0].path) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert len(set(contents(samples))) == 12


def test_the_demo_is_drawn_once_and_the_same_everywhere(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(list(load(None, SMALL)))
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    list(load(None, SMALL))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")} == stamps
    monkeypatch.delenv("FT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    elsewhere = list(load(None, SMALL))
    assert elsewhere[0].path.is_relative_to(tmp_path / "xdg" / "ft")
    assert contents(elsewhere) == first
    assert contents(list(load(None, Settings(images_per_class=3, size=32, seed=1)))) != first


def test_the_demo_is_whole_or_not_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.draw
    drawn: list[str] = []

    def breaks(label: str, *rest: object) -> Image.Image:
        drawn.append(label)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return real(label, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "draw", breaks)
    with pytest.raises(KeyboardInterrupt):
        list(load(None, SMALL))
    assert list(cache.iterdir()) == []


def test_whoever_is_second_takes_what_the_first_drew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.rename

    def first_comes_another(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", real)
        list(load(None, SMALL))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", first_comes_another)
    assert all(sample.path.is_file() for sample in load(None, SMALL))
    assert len(list(cache.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="a folder in the way is made with a file")
def test_a_cache_folder_that_cannot_be_written_is_told_with_the_way_out(cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(FtError, match=r"cannot write the demo images to .*FT_CACHE"):
        list(load(None, SMALL))


def test_the_demo_takes_no_argument() -> None:
    with pytest.raises(FtError, match="demo takes no argument"):
        list(load("photos", SMALL))


def test_colour_does_not_tell_the_shapes_apart() -> None:
    samples = list(load(None, Settings(images_per_class=40, size=32)))
    means = {
        label: np.mean([np.asarray(Image.open(s.path)).mean((0, 1)) for s in samples if s.label == label], axis=0)
        for label in demo.SHAPES
    }
    assert np.ptp(np.stack(list(means.values())), axis=0).max() < 40
