"""Which files are images, by name and first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ft.data import image_files
from ft.data.image_files import KNOWN, ImageFormat, image_format, is_image, readable_formats, what_reads
from ft.data.pictures import Picture
from ft.data.transforms import read_image

SAVED = [each for each in KNOWN if each.name in readable_formats()]


@pytest.mark.parametrize("known", SAVED, ids=lambda known: known.name)
def test_what_is_saved_in_a_format_is_known_by_its_first_bytes_and_read(known: ImageFormat, tmp_path: Path) -> None:
    path = tmp_path / "nameless"
    Image.new("RGB", (20, 20), "orange").save(path, format=known.name)
    assert image_format(path) == known.name
    assert is_image(path)
    assert read_image(Picture.at(path)).shape == (3, 20, 20)


def test_every_suffix_is_one_by_which_pillow_writes_the_format() -> None:
    written = Image.registered_extensions()
    for known in SAVED:
        assert {written[suffix].replace("MPO", "JPEG") for suffix in known.suffixes} == {known.name}


@pytest.mark.parametrize("content", [b"", b"P", b"Python", b"BMW and others", b"GIF", b"RIFF....WAVE", b"II"])
def test_other_files_without_a_suffix_are_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "nameless"
    path.write_bytes(content)
    assert not is_image(path)
    assert image_format(path) == ""


def test_an_image_under_another_suffix_is_none_for_sure(tmp_path: Path) -> None:
    path = tmp_path / "image.txt"
    Image.new("RGB", (20, 20)).save(path, format="PNG")
    assert not is_image(path)
    assert image_format(path) == "PNG"


def test_a_format_that_cannot_be_read_here_says_what_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image_files, "readable_formats", lambda: ("JPEG",))
    assert not is_image(tmp_path / "1.heic")
    assert what_reads("HEIF") == "pip install 'ftkit[heif]'"
    assert what_reads("JPEG") == ""
