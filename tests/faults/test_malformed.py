"""Damaged images, configs and references: no traceback, but an error that names the thing and the cause."""

from __future__ import annotations

import io
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from classified import image_data
from faults.repetitions import times
from ft.config.loading import load_config
from ft.data.image_list import known_splits
from ft.data.load import Item
from ft.data.pictures import Picture
from ft.data.readable import check_images
from ft.data.transforms import read_image
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.references import parse_reference
from ft.machine.files import sha256_of
from ft.weights.bundle import read_manifest
from ft.weights.format import format_of

NUMBER = times(1000, 60)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Flip, insert, delete, repeat or cut some bytes; those at the beginning are the likeliest."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10))):
        place = int(len(changed) * rng.random() ** 3)
        match rng.randrange(5):
            case 0 if changed:
                changed[min(place, len(changed) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                changed[place:place] = rng.randbytes(rng.randint(1, 20))
            case 2:
                del changed[place : place + rng.randint(1, 40)]
            case 3:
                changed[place:place] = changed[place : place + rng.randint(1, 60)]
            case _:
                del changed[max(1, place) :]
    return bytes(changed)


def refusal(action: Callable[[], object]) -> str | None:
    """What ft says about something that it refuses. Anything but an FtError fails the test."""
    try:
        action()
    except FtError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
def test_damaged_images(tmp_path: Path) -> None:
    rng = random.Random(0)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 30, 3), dtype=np.uint8))
    originals = []
    for name in FORMATS:
        buffer = io.BytesIO()
        image.save(buffer, format=name)
        originals.append(buffer.getvalue())
    refused = []
    for number in range(NUMBER):
        path = tmp_path / f"{number}.img"
        path.write_bytes(mutated(originals[number % len(originals)], rng))
        said = refusal(lambda path=path: read_image(Picture.at(path)))
        if said is not None:
            about = f"cannot read the image {path}: "
            assert said.startswith(about)
            assert len(said) > len(about)
            refused.append(path)
    print(f"\n{NUMBER} damaged images: {len(refused)} refused by name, {NUMBER - len(refused)} decoded, no traceback")
    assert refused
    items = tuple(Item(Picture.at(path), 0) for path in refused[:20])
    with pytest.raises(FtError, match=r"cannot be read:\n(.*\n)+Mend them, or leave them out with --bad-images skip"):
        check_images(image_data(("a", "b"), items, (), (), "folder:x"), "fail")


CONFIG = {
    "backbone": "torchvision:resnet18",
    "weights": {"use": "default", "sources": ["mirror:https://a.example"]},
    "freeze": ["all"],
    "train": ["regex:layer4.*"],
    "data": {"use": "folder:./photos", "layout": "classes"},
    "images": {"size": 224, "augment": "flip"},
    "training": {"epochs": 5, "lr": 0.001, "monitor": "loss"},
    "groups": [{"match": "type:norm", "lr": 0.1}],
    "machine": {"workers": 2},
    "seed": 3,
}


def test_damaged_configs(tmp_path: Path) -> None:
    rng = random.Random(1)
    text, file, refused = yaml.safe_dump(CONFIG).encode(), tmp_path / "ft.yaml", 0
    for _ in range(NUMBER):
        file.write_bytes(mutated(text, rng))
        said = refusal(lambda: load_config(file))
        assert said is None or "ft.yaml" in said, said
        refused += said is not None
    print(f"\n{NUMBER} damaged configs: {refused} refused by name, {NUMBER - refused} still configs, no traceback")
    assert refused


@pytest.mark.parametrize("kind", ["freeze", "head", "backbone", "weights", "data"])
def test_damaged_references(kind: str, plugins: Plugins) -> None:
    rng = random.Random(kind)
    known = ["regex:features.*", "depth:60%", "linear", "torchvision:vgg16", "official", "./my.py:Thing", "a.b:C"]
    refused, number = 0, NUMBER // 5
    for _ in range(number):
        text = mutated(rng.choice(known).encode(), rng).decode("utf-8", "replace")
        said = refusal(lambda text=text: plugins.get(kind, parse_reference(text)))
        assert said is None or len(said) > 20, said
        refused += said is not None
    print(f"\n{number} damaged {kind} references: {refused} refused, {number - refused} name something, no traceback")
    assert refused


@pytest.mark.parametrize("device", ["pipe", "/dev/zero"])
def test_what_is_no_plain_file_is_neither_waited_for_nor_read(device: str, tmp_path: Path) -> None:
    path = tmp_path / device  # which is the device itself where that is absolute
    if device == "pipe":
        os.mkfifo(path)
    reads = (
        lambda: load_config(path),
        lambda: read_image(Picture.at(path)),
        lambda: sha256_of(path),
        lambda: format_of(path),
        lambda: read_manifest(path),
        lambda: known_splits(path),
    )
    for read in reads:
        said = refusal(read)
        assert said is not None
        assert str(path) in said
        assert re.search("it is a (pipe|device), not a plain file", said)
    items = (Item(Picture.at(path), 0),)
    with pytest.raises(FtError, match=r"it is a (pipe|device), not a plain file"):
        check_images(image_data(("a", "b"), items, (), (), "folder:x"), "fail")
