"""Images that are no files: read, told apart by their content, and named by their keys, all through a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from classified import source_alone
from ft import DataSource, FtError, Sample
from ft.config.schema import Config
from ft.data.image_list import write_image_list
from ft.data.load import ImageData, load_data
from ft.data.oddities import check_data
from ft.data.pictures import Picture, picture_of
from ft.data.readable import check_images
from ft.data.transforms import read_image
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.testing import DataConformance

TINY = f"{Path(__file__).parents[2] / 'tiny_provider.py'}:Tiny"

ZIPPED = Path(__file__).parents[2] / "zip_source.py"
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 10, 3), dtype=np.uint8)


def png(pixels: Any = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def opened(given: object) -> Picture:
    return Picture("a/1", open=lambda: given)


def plugins_with(samples: list[Sample]) -> Plugins:
    record = DataSource("given", "for a test", load=lambda argument, settings: samples)
    return source_alone(record)


def load(samples: list[Sample]) -> ImageData:
    return load_data(Config.model_validate({"backbone": "x:y", "data": "given"}), plugins_with(samples))


def in_memory(count: int = 6) -> list[Sample]:
    return [
        Sample(open=partial(np.full, (8, 8, 3), number, np.uint8), key=f"film/{number}", label="ab"[number % 2])
        for number in range(count)
    ]


def archive(path: Path, count: int = 8, first: int = 0) -> Path:
    """A zip archive of `count` images of each of two classes."""
    rng = np.random.default_rng(first)
    with ZipFile(path, "w") as file:
        for number in range(first, first + count):
            for level, label in ((60, "dark"), (190, "light")):
                pixels = rng.integers(level - 40, level + 40, (20, 20, 3), dtype=np.uint8)
                file.writestr(f"{label}/{number}.png", png(pixels))
    return path


# Reading


@pytest.mark.parametrize(
    "given",
    [png(), bytearray(png()), memoryview(png()), PIXELS, PIXELS[::-1][::-1], Image.fromarray(PIXELS)],
    ids=["bytes", "bytearray", "memoryview", "array", "view", "PIL"],
)
def test_whatever_open_returns_is_the_same_image(given: object) -> None:
    assert np.array_equal(read_image(opened(given)).permute(1, 2, 0).numpy(), PIXELS)


def test_open_may_return_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(read_image(opened(path)).permute(1, 2, 0).numpy(), PIXELS)
        assert opened(path).digest() == Picture.at(tmp_path / "a.png").digest()


@pytest.mark.parametrize(
    ("pixels", "level"),
    [
        (np.full((4, 4), 7, np.uint8), 7),
        (np.full((4, 4, 1), 7, np.uint8), 7),
        (np.full((4, 4), 7 * 257, np.uint16), 7),
        (np.full((4, 4), 7 * 257, ">u2"), 7),
        (np.full((4, 4), True), 255),
        (np.dstack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 0, np.uint8)]), 255),  # transparent, on white
    ],
    ids=["grey", "one channel", "16 bits", "other end first", "bool", "RGBA"],
)
def test_arrays_are_read_as_files_with_such_pixels_are(pixels: Any, level: int) -> None:
    assert {*read_image(opened(pixels)).flatten().tolist()} == {level}


def test_an_image_that_says_it_was_taken_sideways_is_read_upright_and_left_as_it_is() -> None:
    image = Image.fromarray(PIXELS)
    image.getexif()[0x0112] = 6
    upright = np.asarray(Image.fromarray(PIXELS).rotate(-90, expand=True))
    for _ in range(2):
        assert np.array_equal(read_image(opened(image)).permute(1, 2, 0).numpy(), upright)
    assert image.size == (10, 12)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "open returned a NoneType; it returns bytes, a path, a PIL image, or an array"),
        (PIXELS.astype(np.float64), r"open returned an array \[12, 10, 3\] of float64; it returns"),
        (PIXELS.transpose(2, 0, 1), r"open returned an array \[3, 12, 10\] of uint8; it returns"),
        (np.zeros((0, 4, 3), np.uint8), "it has no pixels"),
        (b"no image", "not an image, or not one of JPEG"),
        ("no/such.png", "No such file"),
    ],
)
def test_what_is_no_image_is_an_error_that_names_the_key(given: object, reason: str) -> None:
    with pytest.raises(FtError, match=f"^cannot read the image a/1: {reason}"):
        read_image(opened(given))


def test_what_open_raises_is_told_with_its_kind() -> None:
    with pytest.raises(FtError, match=r"^cannot read the image a/1: opening it raised KeyError: 'gone'$"):
        read_image(Picture("a/1", open=partial({}.__getitem__, "gone")))


# Digests


def test_the_digest_of_bytes_is_that_of_a_file_with_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    assert opened(png()).digest() == Picture.at(tmp_path / "a.png").digest()


def test_the_digest_of_pixels_is_of_the_pixels_and_their_form() -> None:
    digest = opened(PIXELS).digest()
    assert digest == opened(Image.fromarray(PIXELS)).digest() == opened(np.asfortranarray(PIXELS)).digest()
    other = PIXELS.copy()
    other[3, 4, 1] ^= 1
    palette = Image.new("P", (2, 2))
    palette.putpalette([1, 2, 3])
    recoloured = palette.copy()
    recoloured.putpalette([3, 2, 1])
    clear, opaque = palette.copy(), palette.copy()
    for image, alpha in ((clear, 0), (opaque, 255)):
        image.putpalette([1, 2, 3, alpha], "RGBA")
    forms = (other, PIXELS.reshape(10, 12, 3), palette, recoloured, clear, opaque)
    assert len({digest, *(opened(each).digest() for each in forms)}) == 7


def test_an_image_that_is_another_each_time_is_refused_while_a_run_goes_on() -> None:
    with pytest.raises(FtError, match=r"^a/1 changed since the run began"):
        read_image(opened(PIXELS), opened(PIXELS[::-1]).digest())


# Samples


def test_images_in_memory_are_checked_listed_and_split_by_their_keys(tmp_path: Path) -> None:
    data = check_images(load(in_memory()), "fail")
    write_image_list(tmp_path / "images.csv", data)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {f"film/{number}" for number in range(6)}
    assert {row["path"]: row["sha256"] for row in rows} == data.digests
    again = load(list(reversed(in_memory())))
    assert [item.picture.name for item in again.items] == [item.picture.name for item in data.items]


def test_files_and_images_in_memory_may_be_mixed(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png())
    files = [Sample(tmp_path / f"{number}.png", "ab"[number % 2]) for number in range(4)]
    data = check_images(load([*files, *in_memory()]), "fail")
    assert len(data.items) == len(data.digests) == 10


def test_an_image_in_memory_that_cannot_be_read_is_listed_by_its_key() -> None:
    samples = [*in_memory(), Sample(open=lambda: b"text", key="film/x", label="a")]
    with pytest.raises(FtError, match=r"1 of 7 images cannot be read:\n  film/x: not an image"):
        check_images(load(samples), "fail")
    found = check_data("given", plugins_with(samples), Display())
    assert [(finding.kind, finding.paths) for finding in found.findings] == [("unreadable", ("film/x",))]


def test_copies_in_memory_are_found_as_copies_of_files_are() -> None:
    samples = [*in_memory(), Sample(open=lambda: np.full((8, 8, 3), 0, np.uint8), key="copy", label="b")]
    kinds = {finding.kind: finding.paths for finding in check_data("given", plugins_with(samples), Display()).findings}
    assert kinds["two labels"] == ("copy", "film/0")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(Image.new("RGB", (8, 8)), "a"), r"an Image as path; what is no file is given as ft\.Sample\(open="),
        (Sample(PIXELS, "a"), "an ndarray as path"),
        (Sample(label="a"), "a NoneType as path"),
        (Sample(Path("a.png"), "a", key="a"), "a key beside a path"),
        (Sample(Path("a.png"), "a", open=bytes, key="a"), "a path and open; give one"),
        (Sample(open=b"", key="a", label="a"), "a bytes as open; it is a function"),
        (Sample(open=bytes, label="a"), "open without a key"),
        (Sample(open=bytes, key=3, label="a"), "open without a key"),
    ],
)
def test_a_sample_that_does_not_say_where_its_image_is_names_its_source(sample: Sample, message: str) -> None:
    with pytest.raises(FtError, match=f"^data source 'given' of test-dist 1.0 yielded a sample of 'a' with {message}"):
        load([*in_memory(), sample])


def test_a_key_is_of_one_image(tmp_path: Path) -> None:
    with pytest.raises(FtError, match="yielded two images with the key 'film/0'"):
        load([*in_memory(), in_memory()[0]])


def test_a_sample_of_a_path_is_what_it_was() -> None:
    assert Sample(Path("a.png"), "cat", "val") == Sample(path=Path("a.png"), label="cat", split="val")
    assert picture_of(Sample(Path("x/a.png"), "cat")) == Picture("x/a.png", Path("x/a.png"))


# A whole run


def test_a_run_on_an_archive_is_used_resumed_and_told_from_another_archive(
    ft: Callable[..., Result], tmp_path: Path
) -> None:
    data = f"{ZIPPED}:load:{archive(tmp_path / 'a.zip')}"
    tiny = ("--backbone", f"{TINY}:small", "--weights", "none", "--set", "images.size=16", "--batch-size", "4")
    flags = (*tiny, "--data", data, "--run-dir", "run", "--freeze", "all", "--device", "cpu", "--precision", "fp32")
    ft("run", *flags, "--epochs", "2", "--workers", "2")
    with Path("run/images.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {
            f"{label}/{number}.png" for label in ("dark", "light") for number in range(8)
        }
    measured = ft("evaluate", "run", data, "--split", "val", "--json", "--trust-code")
    assert json.loads(measured.stdout)["accuracy"] == json.loads(Path("run/report.json").read_text())["val"]["accuracy"]
    assert "no image was decoded" in ft("run", *flags, "--run-dir", "other", "--epochs", "2").output
    ft("run", "--resume", "run", "--epochs", "3", "--trust-code")
    archive(tmp_path / "a.zip", first=1)
    changed = ft("run", "--resume", "run", "--epochs", "4", "--trust-code", fails=True)
    assert "dark/0.png is gone" in str(changed.exception)


class TestZipped(DataConformance):
    component = f"data:{ZIPPED}:load"

    @pytest.fixture
    def argument(self, tmp_path: Path) -> str:
        return str(archive(tmp_path / "a.zip"))
