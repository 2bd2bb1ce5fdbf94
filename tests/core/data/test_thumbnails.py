"""Small pictures of images: decoded as for training, and never of what an image has become since."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ft.data.load import Item
from ft.data.pictures import Picture
from ft.data.thumbnails import CHANGED, thumbnail, thumbnails


def item(path: Path) -> Item:
    return Item(Picture.at(path), 0)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(content: bytes | str) -> Image.Image:
    assert isinstance(content, bytes)
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("size", "becomes"), [((400, 200), (100, 50)), ((30, 60), (30, 60)), ((5000, 2), (100, 1))])
def test_the_longer_side_is_bounded(tmp_path: Path, size: tuple[int, int], becomes: tuple[int, int]) -> None:
    Image.new("RGB", size, "green").save(tmp_path / "a.png")
    small = opened(thumbnail(item(tmp_path / "a.png"), digest(tmp_path / "a.png"), None, 100))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", becomes)


def test_it_is_what_training_sees_upright_and_brought_to_8_bits(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    turned = np.asarray(opened(thumbnail(item(tmp_path / "turned.png"), "", None, 100)).convert("L"))
    assert turned.shape == (40, 20)
    assert turned[:15].min() > 200
    assert turned[25:].max() < 50
    Image.fromarray(np.full((8, 8), 600, np.uint16)).save(tmp_path / "deep.png")
    deep = np.asarray(opened(thumbnail(item(tmp_path / "deep.png"), "", (500.0, 700.0), 100)).convert("L"))
    assert abs(int(deep.mean()) - 127) <= 2


def test_what_is_gone_or_has_changed_is_said_and_not_shown(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("same", "gone", "changed", "broken")]
    for path in paths:
        Image.new("RGB", (20, 20), "blue").save(path)
    digests = {str(path): digest(path) for path in paths}
    paths[1].unlink()
    Image.new("RGB", (20, 20), "red").save(paths[2])
    paths[3].write_bytes(b"no image")
    digests[str(paths[3])] = digest(paths[3])
    made = thumbnails([3, 0, 2, 1], [item(path) for path in paths], digests, None, 100)
    assert list(made) == [3, 0, 2, 1]
    assert isinstance(made[0], bytes)
    assert made[1] == "No such file or directory"
    assert made[2] == CHANGED
    assert str(made[3]).startswith("not an image")
