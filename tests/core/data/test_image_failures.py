from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image, ImageFile

from classified import image_data
from ft.data.batches import Batches
from ft.data.dataset import ImageDataset
from ft.data.digests import digest_of
from ft.data.image_failures import failure_of
from ft.data.load import ImageData, Item
from ft.data.pictures import Picture
from ft.data.readable import check_images
from ft.data.transforms import Transform, read_image
from ft.errors import FtError

OF_THE_MACHINE = [
    (MemoryError(), "memory ran out while the image a.png was read.*fewer --workers"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out while the image a.png"),
    (OSError("out of memory error when reading image file"), "memory ran out while the image a.png"),
    (OSError(errno.EMFILE, "Too many open files"), r"a.png could not be read \(Too many open files\).*ulimit -n"),
    (OSError(errno.EIO, "Input/output error"), r"a.png could not be read \(Input/output error\).*same command again"),
    (OSError(errno.ESTALE, "Stale file handle"), r"a.png could not be read \(Stale file handle\)"),
]
OF_THE_IMAGE = [
    (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file or directory"),
    (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    (OSError("image file is truncated"), "image file is truncated"),
    (ValueError(), "ValueError"),
]


@pytest.mark.parametrize(("error", "said"), OF_THE_MACHINE, ids=lambda value: str(value)[:20])
def test_what_the_machine_fails_at_is_an_error_that_says_so(error: Exception, said: str) -> None:
    with pytest.raises(FtError, match=said):
        failure_of(error, "a.png")


@pytest.mark.parametrize(("error", "said"), OF_THE_IMAGE, ids=lambda value: str(value)[:20])
def test_what_is_wrong_with_an_image_is_told_in_a_few_words(error: Exception, said: str) -> None:
    assert failure_of(error, "a.png") == said


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    for number in range(4):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / f"{number}.png")
    items = tuple(Item(Picture.at(tmp_path / f"{number}.png"), number % 2) for number in range(4))
    return image_data(("a", "b"), items[:2], items[2:], (), "folder:x")


def raises(error: Exception) -> Callable[..., NoReturn]:
    def raising(*args: object, **kwargs: object) -> NoReturn:
        raise error

    return raising


def test_no_good_image_is_left_out_where_memory_runs_out(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", raises(MemoryError()))
    with pytest.raises(FtError, match="memory ran out"):
        check_images(data, "skip")
    with pytest.raises(FtError, match="memory ran out"):
        read_image(data.train[0].picture)


def test_no_good_image_is_left_out_where_files_cannot_be_opened(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft.data.pictures.read_bytes", raises(OSError(errno.EMFILE, os.strerror(errno.EMFILE))))
    with pytest.raises(FtError, match="ulimit -n"):
        check_images(data, "skip")


def test_a_data_source_that_finds_no_memory_makes_no_bad_image() -> None:
    with pytest.raises(FtError, match="memory ran out while the image row 7 was read"):
        digest_of(Picture("row 7", open=raises(MemoryError())))


def test_exif_data_for_which_there_is_no_memory_do_not_turn_an_image(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "getexif", raises(MemoryError()))
    with pytest.raises(FtError, match="memory ran out"):
        read_image(data.train[0].picture)


def test_a_prediction_that_finds_no_memory_leaves_no_image_out(
    data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = Batches(ImageDataset(data.train, Transform(()), seed=None), leave_out=True)
    monkeypatch.setattr("ft.data.pictures.read_bytes", raises(ValueError("damaged")))
    assert batches[0, [0]] == (None, {0: f"cannot read the image {data.train[0].picture.name}: damaged"})
    monkeypatch.setattr("ft.data.pictures.read_bytes", raises(MemoryError()))
    found = batches[0, [0]]
    assert isinstance(found, FtError)
    assert "memory ran out" in str(found)
