"""A cold run decodes each image once: what the check decodes is what the run computes with, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from finished_runs import FinishedRun, assert_same_outcome
from ft.cache.store import FeatureStore
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Runs = Callable[..., FinishedRun]
Count = Callable[[], int]
FEATURES = {"freeze": ["all"], "cache__promise": "exact"}
IMAGES = {"images__augment": "none"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ft.data.known_files.SETTLED", 0)  # files of the test are as good as old


@pytest.fixture
def decodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """How often Pillow decoded an image since this was asked before, in whatever process."""
    log, load = tmp_path / "decodings", ImageFile.ImageFile.load

    def counted(image: ImageFile.ImageFile) -> Any:
        if image.tile:
            with log.open("ab") as file:
                file.write(b"x")
        return load(image)

    def count() -> int:
        size = log.stat().st_size
        os.truncate(log, 0)
        return size

    log.touch()
    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return count


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.random.default_rng(number).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(shades).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six training images, two validation and two test images, of each of two classes: twenty."""
    for number in range(20):
        split = "train" if number < 12 else "val" if number < 16 else "test"
        draw(tmp_path / "photos" / split / "ab"[number % 2] / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def run(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, photos: Path) -> Runs:
    def ended(name: str = "run", **keys: Any) -> FinishedRun:
        common = {"data": str(photos), "training__batch_size": 4, "training__epochs": 3, **keys}
        return FinishedRun(tiny_config(run_dir=tmp_path / name, **common), plugins)

    return ended


@pytest.mark.parametrize(
    "keys",
    [
        FEATURES,
        {**FEATURES, "machine__workers": 2},
        {**FEATURES, "cache__promise": "close", "images__fit": "pad"},
        IMAGES,
        {"images__augment": "flip", "images__views": 2},
        {**FEATURES, "images__augment": "flip", "images__views": 2},
    ],
    ids=["features", "processes", "close", "images", "flip", "flip and features"],
)
def test_a_cold_run_decodes_each_image_once_and_a_warm_one_none(
    keys: dict[str, Any], run: Runs, decodings: Count
) -> None:
    cold = run("cold", **keys)
    assert (decodings(), cold.report.cache.decoded) == (20, 20)
    warm = run("warm", **{**keys, "training__lr": 0.02})
    assert (decodings(), warm.report.cache.decoded) == (0, 0)
    if cold.report.cache.promise == "exact" and "machine__workers" not in keys:
        assert_same_outcome(run("plain", **{**keys, "cache__promise": "off"}), cold)


def sixteen_bits(path: Path, number: int = 0) -> None:
    values = np.random.default_rng(number).integers(0, 4096, (24, 20), dtype=np.uint16)
    Image.fromarray(values).save(path)


@pytest.mark.parametrize("value_range", [None, (0, 4095)], ids=str)
def test_an_image_of_more_than_8_bits_is_decoded_once_too(
    value_range: Any, run: Runs, photos: Path, decodings: Count
) -> None:
    sixteen_bits(photos / "train" / "a" / "deep.png")
    keys = {**FEATURES, "images__range": value_range}
    cold = run("cold", **keys)
    assert decodings() == 21
    assert_same_outcome(run("plain", **{**keys, "cache__promise": "off"}), cold)


def test_only_what_depends_on_a_range_that_is_found_out_is_decoded_again(
    run: Runs, photos: Path, decodings: Count
) -> None:
    for number, split in enumerate(("train", "val")):
        sixteen_bits(photos / split / "a" / "deep.png", number)
    keys = {**FEATURES, "images__range": "auto"}
    cold = run("cold", **keys)
    assert decodings() == 22 + 3  # in the pass, and where the model is measured
    assert_same_outcome(run("plain", **{**keys, "cache__promise": "off"}), cold)
    other = run("other", **{**FEATURES, "images__range": (0, 9000)})
    assert other.report.cache.computed == 1 + 5  # a batch of the validation that is not full is computed whole
    assert_same_outcome(run("another", **{**FEATURES, "images__range": (0, 9000), "cache__promise": "off"}), other)


def test_a_bad_image_is_found_before_and_left_out(run: Runs, photos: Path, decodings: Count) -> None:
    (photos / "train" / "a" / "00.png").write_bytes(b"no image")
    with pytest.raises(FtError, match=r"1 of 21 images cannot be read:\n.*00\.png: not an image"):
        run("fails", **FEATURES)
    assert decodings() == 20
    skipped = run("skips", **FEATURES, images__bad="skip")
    assert decodings() == 0  # what was seen before it failed is kept
    assert skipped.report.cache.computed == 16
    assert_same_outcome(run("plain", **{**FEATURES, "cache__promise": "off"}, images__bad="skip"), skipped)


def test_a_set_that_grew_by_ten_has_ten_decoded(run: Runs, photos: Path, decodings: Count) -> None:
    run("first", **FEATURES)
    for number in range(10):
        draw(photos / "train" / "ab"[number % 2] / f"new {number}.png", 100 + number)
    decodings()
    second = run("second", **FEATURES)
    assert (decodings(), second.report.cache.computed) == (10, 10)


def test_a_run_that_goes_on_decodes_nothing(
    tiny_config: MakeConfig, plugins: Plugins, photos: Path, tmp_path: Path, decodings: Count
) -> None:
    keys = {**FEATURES, "data": str(photos), "training__batch_size": 4, "training__epochs": 3}
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "run", **keys), plugins, SignalAtProgress("training features", 8))
    assert decodings() == 20
    stopped = Run(tmp_path / "run")
    finetune(stopped.config(trust_code=True), plugins, Display(), stopped)
    assert decodings() == 0


def test_a_plan_keeps_no_image(
    tiny_config: MakeConfig, plugins: Plugins, photos: Path, tmp_path: Path, decodings: Count
) -> None:
    prepare(tiny_config(data=str(photos), **FEATURES), plugins, Display())
    assert decodings() == 20
    assert not (tmp_path / "cache" / "features").exists()


@pytest.mark.parametrize(
    "keys",
    [{"freeze": ["until:layer1"]}, {"cache__promise": "off", "freeze": ["all"]}, {"training__epochs": 1, **IMAGES}],
    ids=["new views", "off", "seen once"],
)
def test_a_run_that_keeps_no_image_keeps_none_ahead(keys: dict[str, Any], run: Runs, tmp_path: Path) -> None:
    assert run(**keys).report.cache.promise == "off"
    assert not (tmp_path / "cache" / "features").exists()


def test_where_features_have_room_and_images_have_not_they_are_decoded_twice(
    run: Runs, tmp_path: Path, decodings: Count
) -> None:
    """Twenty images of 16 px would take 15 KB."""
    cold = run("cold", **FEATURES, cache__disk_gb=1.2e-5)
    assert decodings() > 20
    assert cold.report.cache.computed == 16
    assert_same_outcome(run("plain", **{**FEATURES, "cache__promise": "off"}), cold)


def test_a_disk_that_becomes_full_costs_time_only(run: Runs, monkeypatch: pytest.MonkeyPatch, decodings: Count) -> None:
    from ft.cache.writer import NotKept, Writer

    put = Writer.put

    def refusing(writer: Writer, row: int, tensors: Any) -> None:
        if writer.rows == 20 and row == 7:
            raise NotKept("the disk is full")
        put(writer, row, tensors)

    monkeypatch.setattr(Writer, "put", refusing)
    cold = run("cold", **FEATURES)
    assert decodings() > 20
    assert_same_outcome(run("plain", **{**FEATURES, "cache__promise": "off"}), cold)


def test_images_kept_ahead_take_nothing_away_but_such(
    run: Runs, photos: Path, tmp_path: Path, decodings: Count
) -> None:
    store = FeatureStore(10**9, tmp_path / "cache" / "features")
    run("first", **FEATURES)
    before = store.entries()
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        draw(path, 200 + number)
    second = run("second", **FEATURES, cache__disk_gb=(sum(entry.size for entry in before) + 10_000) / 1e9)
    assert (decodings(), second.report.cache.computed) == (40, 16)
    left = {entry.key for entry in store.entries()}
    assert {entry.key for entry in before if not entry.of_images} < left
    assert left.isdisjoint(entry.key for entry in before if entry.of_images)
