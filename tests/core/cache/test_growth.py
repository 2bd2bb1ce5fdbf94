"""A set of images that grew, shrank or was split otherwise has computed what is new, and trains as if all were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from faults.repetitions import FULL
from finished_runs import FinishedRun, assert_same_outcome
from ft.config.schema import Config
from ft.extension.installed import Plugins

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (number * 8, 200 if path.parent.name == "a" else 20, 90)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten training images and three validation images, of each of two classes."""
    for label in ("a", "b"):
        for number in range(10):
            draw(tmp_path / "photos" / "train" / label / f"{number}.png", number)
        for number in range(3):
            draw(tmp_path / "photos" / "val" / label / f"{number}.png", 20 + number)
    return tmp_path / "photos"


@pytest.fixture
def run(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, photos: Path) -> Callable[..., FinishedRun]:
    def run_named(name: str, promise: str = "exact", **keys: Any) -> FinishedRun:
        common = {"data": str(photos), "freeze": ["all"], "training__batch_size": 4, **keys}
        return FinishedRun(tiny_config(run_dir=tmp_path / name, cache__promise=promise, **common), plugins)

    return run_named


def add(photos: Path) -> None:
    draw(photos / "train" / "a" / "00.png", 29)
    draw(photos / "train" / "b" / "99.png", 30)


def change(photos: Path) -> None:
    draw(photos / "train" / "a" / "3.png", 31)


def take_away(photos: Path) -> None:
    (photos / "train" / "a" / "3.png").unlink()


def rename(photos: Path) -> None:
    for path in sorted((photos / "train" / "a").iterdir()):
        path.rename(path.with_name(f"{9 - int(path.stem)} renamed.png"))


def swap(photos: Path) -> None:
    """A training image validates, and the other way round: the validation's last two are a batch of their own."""
    one, other = photos / "train" / "a" / "0.png", photos / "val" / "a" / "0.png"
    one.rename(photos / "kept.png")
    other.rename(one)
    (photos / "kept.png").rename(other)


CHANGES = [(add, 2), (change, 1), (take_away, 0), (rename, 0), (swap, 0)]


@pytest.mark.faults
@pytest.mark.parametrize(
    ("happens", "new", "promise"),
    [*((*each, "exact") for each in CHANGES), *((*each, "close") for each in (CHANGES if FULL else CHANGES[-1:]))],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_only_what_is_new_is_decoded_and_computed(
    happens: Callable[[Path], None],
    new: int,
    promise: str,
    run: Callable[..., FinishedRun],
    photos: Path,
) -> None:
    assert run("first", promise).report.cache.computed == 26
    happens(photos)
    second = run("second", promise)
    assert second.report.cache.computed == new
    assert second.report.cache.decoded <= new + 1  # the proof may have to look at another one
    if promise == "exact":
        assert_same_outcome(run("plain", "off"), second)


def test_a_set_smaller_than_a_batch_is_computed_anew_when_it_grows_and_that_is_said(
    run: Callable[..., FinishedRun], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = {"training__batch_size": 64, "training__epochs": 2}
    run("first", **keys)
    add(photos)
    capsys.readouterr()
    second = run("second", **keys)
    assert second.report.cache.computed == 22 + 6
    said = capsys.readouterr().err
    assert (
        "features that were kept of batches of 20 images are computed anew: 'exact' has the bits of batches of 22, "
        "since there are so few training images\n"
    ) in said
    run("third", **keys)
    run("close", "close", **keys)
    assert "computed anew" not in capsys.readouterr().err


def test_a_batch_that_is_odd_is_computed_whole(run: Callable[..., FinishedRun], photos: Path) -> None:
    """Six validation images in batches of four are four and two, then four and three."""
    run("first")
    draw(photos / "val" / "b" / "9.png", 31)
    second = run("second")
    assert second.report.cache.computed == 3
    assert_same_outcome(run("plain", "off"), second)


def test_an_image_in_another_place_has_other_random_views(run: Callable[..., FinishedRun], photos: Path) -> None:
    """What a view is drawn from is the image's number in the training set."""
    keys = {"images__augment": "standard", "images__views": 2, "training__epochs": 3}
    assert run("first", **keys).report.cache.computed == 2 * 20 + 6
    draw(photos / "train" / "b" / "99.png", 31)  # the last one
    second = run("second", **keys)
    assert second.report.cache.computed == 2
    more = run("more", **{**keys, "images__views": 3, "training__epochs": 4})
    assert more.report.cache.computed == 21
    assert_same_outcome(run("plain", "off", **keys), second)


def test_decoded_images_are_kept_by_image_too(
    run: Callable[..., FinishedRun], photos: Path, decoded: list[Path]
) -> None:
    keys = {"freeze": [], "images__augment": "none"}
    assert run("first", "auto", **keys).report.cache.decoded == 26
    add(photos)
    decoded.clear()
    second = run("second", "auto", **keys)
    assert (second.report.cache.decoded, len(set(decoded))) == (2, 2)
    assert_same_outcome(run("plain", "off", **keys), second)


def test_features_of_a_set_that_grew_are_mapped_from_all_of_their_files(
    run: Callable[..., FinishedRun], photos: Path
) -> None:
    run("first", cache__memory_gb=0.0)
    add(photos)
    assert_same_outcome(run("plain", "off"), run("second", cache__memory_gb=0.0))
