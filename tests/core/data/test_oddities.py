"""`ft data check`: each oddity is found under its name, and only what would stop a run is an error."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from ft.data.oddities import check_data
from ft.extension.installed import Plugins
from ft.machine.display import Display


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, label in enumerate(("cat", "dog")):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(5):
            picture(10 * number + i).save(tmp_path / "photos" / label / f"{i}.png")
    return tmp_path / "photos"


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(99).save(path.with_suffix(".jpg"), exif=exif)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(path)


def truncated(path: Path) -> None:
    whole = path.with_name("whole.png")
    picture(98).save(whole)
    path.write_bytes(whole.read_bytes()[:-300])
    whole.unlink()


def bomb(path: Path) -> None:
    whole = path.with_name("whole.png")
    picture(97).save(whole)
    content = bytearray(whole.read_bytes())
    content[16:24] = (60000).to_bytes(4) + (60000).to_bytes(4)
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    path.write_bytes(content)
    whole.unlink()


ODD: dict[str, Callable[[Path], object]] = {
    "unreadable": lambda path: path.write_text("<html>not found</html>"),
    "truncated": truncated,
    "too large": bomb,
    "misnamed": lambda path: picture(96).save(path, format="JPEG"),
    "turned": turned,
    "16-bit": sixteen_bits,
    "CMYK": lambda path: picture(95).convert("CMYK").save(path.with_suffix(".jpg")),
    "transparent": lambda path: picture(94).convert("RGBA").save(path),
    "duplicate": lambda path: path.write_bytes((path.parent / "0.png").read_bytes()),
    "two labels": lambda path: path.write_bytes((path.parents[1] / "dog" / "0.png").read_bytes()),
}


@pytest.mark.parametrize("kind", ODD)
def test_each_oddity_is_found(kind: str, photos: Path, plugins: Plugins) -> None:
    ODD[kind](photos / "cat" / "odd.png")
    findings = [f for f in check_data(str(photos), plugins, Display()).findings if f.kind != "in two splits"]
    assert [finding.kind for finding in findings] == [kind]
    assert findings[0].stops == (kind in ("unreadable", "truncated", "too large"))
    assert any(Path(path).stem == "odd" for path in findings[0].paths)


def test_a_jpeg_of_a_camera_that_holds_a_preview_is_not_misnamed(photos: Path, plugins: Plugins) -> None:
    path = photos / "cat" / "dsc.jpg"
    picture(7).save(path, format="MPO", save_all=True, append_images=[picture(8)])
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert not [each for each in check_data(str(photos), plugins, Display()).findings if each.kind == "misnamed"]


def test_good_images_are_not_odd(photos: Path, ft: Callable[..., Result]) -> None:
    assert ft("data", "check", str(photos)).output.strip().endswith("nothing odd")


def test_classes_and_duplicates_across_splits_are_found(photos: Path, plugins: Plugins) -> None:
    for split in ("train", "val"):
        (photos / split).mkdir()
    os.rename(photos / "cat", photos / "train" / "cat")
    os.rename(photos / "dog", photos / "train" / "dog")
    (photos / "val" / "cat").mkdir()
    (photos / "val" / "cat" / "same.png").write_bytes((photos / "train" / "cat" / "0.png").read_bytes())
    found = {finding.kind: finding.detail for finding in check_data(str(photos), plugins, Display()).findings}
    assert found == {"in two splits": "train and val", "labels": "val has no image of 1 of 2 classes: dog"}
    os.rename(photos / "train" / "dog", photos / "val" / "dog")
    kinds = [finding.kind for finding in check_data(str(photos), plugins, Display()).findings]
    assert kinds == ["in two splits", "refused"]


def test_what_would_stop_a_run_ends_with_code_2_after_the_table(photos: Path, ft: Callable[..., Result]) -> None:
    truncated(photos / "cat" / "odd.png")
    result = ft("data", "check", str(photos), fails=True)
    assert "odd.png" in result.output
    assert result.output.splitlines()[-1].endswith(": 1 finding")
    assert "1 of these would stop a run" in str(result.exception)
    listed = json.loads(ft("data", "check", "--json", str(photos), fails=True).stdout)
    assert [(f["kind"], f["stops"]) for f in listed["findings"]] == [("truncated", True)]


def test_settings_of_the_data_are_those_of_a_run(photos: Path, ft: Callable[..., Result]) -> None:
    os.rename(photos / "cat", photos / "train")
    assert "lie directly in" in str(ft("data", "check", str(photos), fails=True).exception)
    assert "of 2 classes" in ft("data", "check", str(photos), "--set", "data.layout=classes").output
    refused = ft("data", "check", str(photos), "--set", "training.epochs=3", fails=True)
    assert "--set training.epochs=3 changes nothing here" in str(refused.exception)


def test_how_the_data_is_read_and_what_is_left_out_is_listed(photos: Path, ft: Callable[..., Result]) -> None:
    (photos / "cat" / "notes.txt").touch()
    os.rename(photos / "dog", photos / "Cat")
    said = " ".join(ft("data", "check", str(photos)).output.split())
    assert "1 file left out, which is no image that can be read: 1 .txt" in said
    assert "classes are told apart that differ only in case" in said
    assert "nothing odd" not in said


def test_an_image_without_a_suffix_is_not_misnamed(photos: Path, ft: Callable[..., Result]) -> None:
    (photos / "cat" / "0.png").rename(photos / "cat" / "photo")
    assert ft("data", "check", str(photos)).output.strip().endswith("nothing odd")
