"""Images with more than 8 bits: what is lost of them is said, and a range that is stated or found out keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from classified import image_data
from ft import FtError
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.data.decoding import decode_image, examine
from ft.data.load import ImageData, Item
from ft.data.oddities import check_data
from ft.data.pictures import Picture
from ft.data.readable import check_images
from ft.data.value_range import resolve_range, several_frames, strange_values, warn_of_values
from ft.data.values import Range, Values, to_8_bits
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.text.documents import as_yaml

TINY = f"{Path(__file__).parents[2] / 'tiny_provider.py'}:Tiny"


def save(path: Path, pixels: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)
    return path


def twelve_bits(highest: int = 4095, seed: int = 0) -> Any:
    pixels = np.random.default_rng(seed).integers(0, highest + 1, (24, 24), dtype=np.uint16)
    pixels[0, 0], pixels[0, 1] = 0, highest
    return pixels


def levels(path: Path, value_range: Range | None = None) -> set[int]:
    return {*np.asarray(decode_image(path.read_bytes(), value_range)).flatten().tolist()}


def data_of(folder: Path, images: dict[str, Any], val: int = 1) -> ImageData:
    items = tuple(
        Item(Picture.at(save(folder / name, pixels)), number % 2)
        for number, (name, pixels) in enumerate(images.items())
    )
    cut = len(items) - val
    return check_images(image_data(("a", "b"), items[:cut], items[cut:], (), "folder:x"), "fail", ranged=True)


def with_range(value: Any) -> Config:
    return load_config(flags={"backbone": "x", "images.range": value})


# To 8 bits


def test_every_16_bit_value_becomes_what_it_always_became() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bits(values, None), np.round(values.astype(np.int64) / 257).astype(np.uint8))


def test_a_range_uses_all_levels_and_what_is_outside_becomes_black_or_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    assert len(levels(path)) == 17
    assert levels(path, (0, 4095)) == set(range(256))
    assert np.asarray(decode_image(path.read_bytes(), (1000, 2000)))[0, 0].tolist() == [0, 0, 0]
    assert np.asarray(decode_image(path.read_bytes(), (1000, 2000)))[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("pixels", "value_range"),
    [
        (np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16), (0.0, 1.0)),
        (np.linspace(-1000, 2000, 256, dtype=np.float32).reshape(16, 16), (-1000.0, 2000.0)),
        (np.arange(256, dtype=np.int32).reshape(16, 16), (0, 255)),
        (np.arange(-128, 128, dtype=np.int32).reshape(16, 16) * 1000, (-128_000, 127_000)),
    ],
    ids=["float", "signed float", "int32 of 8 bits", "signed int32"],
)
def test_numbers_of_any_kind_are_read_with_a_range(tmp_path: Path, pixels: Any, value_range: Range) -> None:
    assert levels(save(tmp_path / "a.tif", pixels), value_range) == set(range(256))


@pytest.mark.parametrize(
    ("pixels", "value_range", "reason"),
    [
        (np.full((4, 4), 0.5, np.float32), None, r"floating-point numbers, from 0\.5 to 0\.5; say .* images\.range="),
        (np.full((4, 4), -5, np.int32), None, r"32-bit numbers, from -5 to -5; say .*images\.range=auto"),
        (np.full((4, 4), np.nan, np.float32), (0, 1), "some of its pixels are not finite"),
        (np.full((4, 4), np.inf, np.float32), (0, 1), "some of its pixels are not finite"),
    ],
)
def test_numbers_without_a_range_are_refused_with_what_to_type(
    tmp_path: Path, pixels: Any, value_range: Range | None, reason: str
) -> None:
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(ValueError, match=reason):
        decode_image(path.read_bytes(), value_range)
    items = (Item(Picture.at(path), 0),)
    with pytest.raises(FtError, match=f"a.tif: .*{reason}"):
        check_images(image_data(("a", "b"), items, (), (), "folder:x"), "fail", ranged=value_range is not None)


@pytest.mark.parametrize("pixels", [np.full((4, 4), 200, np.uint8), np.full((4, 4, 3), 200, np.uint8)])
def test_a_range_leaves_8_bits_alone(tmp_path: Path, pixels: Any) -> None:
    assert levels(save(tmp_path / "a.png", pixels), (0, 4095)) == {200}


# What a set holds


def test_values_are_seen_in_every_kind_of_file(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        assert examine(save(tmp_path / name, twelve_bits()).read_bytes()).values == Values("integer", 0, 4095)
    assert examine(save(tmp_path / "b.png", np.zeros((4, 4, 3), np.uint8)).read_bytes()).values is None
    image = Image.new("RGB", (4, 4))
    image.save(tmp_path / "5-6-5.bmp")
    assert examine((tmp_path / "5-6-5.bmp").read_bytes()).values is None


def sixteen_bit_colour(value: int) -> bytes:
    """A PNG with 16 bits for each colour, which Pillow reads and does not write."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    rows = b"".join(b"\0" + struct.pack(">H", value) * 6 for _ in range(2))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_dark_16_bit_colour_is_warned_of() -> None:
    facts = {"a.png": examine(sixteen_bit_colour(4095)), "b.png": examine(sixteen_bit_colour(60000))}
    assert list(strange_values(facts, False, None)) == []
    (said,) = strange_values({"a.png": facts["a.png"]}, False, None)
    assert said.startswith("1 image has 16 bits a colour")
    assert "never above 15 of 255, as in a.png" in said


def test_twelve_bits_in_sixteen_are_warned_of_with_the_highest_value_and_what_to_type(tmp_path: Path) -> None:
    data = data_of(tmp_path, {f"{n}.png": twelve_bits(4000 + n, n) for n in range(4)})
    (said,) = warn_of_values(data, None, None).warnings
    assert said == (
        "4 images have more than 8 bits, and no value of theirs is above 4003 of 65535, so they become 17 of 256 "
        "levels of grey. Say which values are black and white, as in --set images.range=[0,4095], or let ft find out "
        "with --set images.range=auto"
    )
    data = data_of(tmp_path / "int32", {f"{n}.tif": np.arange(256, dtype=np.int32).reshape(16, 16) for n in range(4)})
    (said,) = warn_of_values(data, None, None).warnings
    assert "become 2 of 256 levels of grey" in said
    assert "images.range=[0,255]" in said
    whole = data_of(tmp_path / "whole", {f"{n}.png": twelve_bits(65535, n) for n in range(4)})
    assert warn_of_values(whole, None, None).warnings == ()


def test_values_outside_of_a_stated_range_and_a_range_without_effect_are_warned_of(tmp_path: Path) -> None:
    data = data_of(tmp_path, {f"{n}.png": twelve_bits(4000 + n, n) for n in range(4)})
    assert warn_of_values(data, (0, 4095), (0, 4095)).warnings == ()
    (said,) = warn_of_values(data, (0, 4001), (0, 4001)).warnings
    assert said.startswith("2 images have values outside of images.range [0, 4001]")
    assert "2.png does: 0 to 4002" in said
    plain = data_of(tmp_path / "plain", {f"{n}.png": np.full((4, 4), n, np.uint8) for n in range(4)})
    for asked in ((0, 4095), "auto"):
        resolved = resolve_range(with_range(asked), plain).images.value_range
        (said,) = warn_of_values(plain, asked, resolved).warnings  # type: ignore[arg-type]
        assert said == "images.range has no effect: no image is grey with more than 8 bits"


def test_auto_is_what_training_images_hold_and_stays_in_the_config(tmp_path: Path) -> None:
    images = {f"{n}.tif": np.linspace(-5 - n, 10 + n, 16, dtype=np.float32).reshape(4, 4) for n in range(4)}
    data = data_of(tmp_path, images)
    config = resolve_range(with_range("auto"), data)
    assert config.images.range == (-7.0, 12.0)  # the fourth validates
    assert load_config_text(as_yaml(config.model_dump(mode="json")), tmp_path).images.range == (-7.0, 12.0)
    said = warn_of_values(data, "auto", config.images.value_range)
    assert said.notes == ("images.range: -7 becomes black and 12 white, as training images have",)
    assert "3.tif does: -8 to 13" in said.warnings[0]


def load_config_text(text: str, folder: Path) -> Config:
    (folder / "config.yaml").write_text(text)
    return load_config(folder / "config.yaml")


@pytest.mark.parametrize("value", [[4095, 0], [1, 1], [1], "all", [0, "x"]])
def test_a_range_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(FtError, match=r"images\.range"):
        with_range(value)


def test_several_pages_or_frames_are_said(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (10, 20, 30)]
    for name in ("a.gif", "a.tif", "a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        facts = examine((tmp_path / name).read_bytes())
        assert facts.frames == 3
        assert list(several_frames({name: facts})) == [
            f"1 image holds several pages or frames, as {name} does (3); the first one is used"
        ]
    frames[0].save(tmp_path / "one.gif")
    assert examine((tmp_path / "one.gif").read_bytes()).frames == 1


def test_what_was_seen_is_remembered(tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ft.data.known_files.SETTLED", 0)
    images = {f"{n}.png": twelve_bits(4000 + n, n) for n in range(4)}
    first = data_of(tmp_path / "photos", images)
    count = len(decoded)
    items = (*first.train, *first.val)
    again = check_images(image_data(("a", "b"), items[:3], items[3:], (), "folder:x"), "fail")
    assert again.facts == first.facts
    assert len(again.facts) == 4
    assert len(decoded) == count == 4


def test_a_check_says_values_and_frames(tmp_path: Path, plugins: Plugins) -> None:
    for label in ("cat", "dog"):
        for number in range(5):
            save(tmp_path / "photos" / label / f"{number}.png", twelve_bits(4000 + number, len(label) + number))
    Image.new("L", (8, 8)).save(
        tmp_path / "photos" / "cat" / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 99)]
    )
    found = check_data(str(tmp_path / "photos"), plugins, Display()).findings
    by_kind = {finding.kind: finding for finding in found}
    assert "no value of theirs is above 4004" in by_kind["values"].detail
    assert by_kind["16-bit"].detail == "0 to 4004"
    assert by_kind["several frames"].detail == "2"
    ranged = check_data(str(tmp_path / "photos"), plugins, Display(), ["images.range=[0,4095]"]).findings
    assert "values" not in {finding.kind for finding in ranged}


# A whole run


def test_training_predict_evaluate_resume_and_locked_use_the_same_values(
    ft: Callable[..., Result], tmp_path: Path
) -> None:
    for label, low in (("dark", 0), ("light", 2000)):
        for number in range(8):
            pixels = np.random.default_rng(number).integers(low, low + 2000, (20, 20)).astype(np.float32)
            save(tmp_path / "photos" / label / f"{number}.tif", pixels)
    tiny = ("--backbone", f"{TINY}:small", "--weights", "none", "--set", "images.size=16", "--batch-size", "4")
    flags = (*tiny, "--data", "photos", "--epochs", "2", "--lr", "0.05", "--device", "cpu", "--precision", "fp32")
    refused = ft("run", *flags, "--run-dir", "run", fails=True)
    assert "images.range=auto" in str(refused.exception)
    ft("run", *flags, "--set", "images.range=auto", "--run-dir", "run")
    saved = json.loads(Path("run/model.json").read_text())["preprocessing"]["value_range"]
    assert load_config(Path("run/config.yaml")).images.range == tuple(saved)
    assert 0 <= saved[0] < 50
    assert 3950 < saved[1] < 4000
    measured = json.loads(ft("evaluate", "run", "photos", "--split", "val", "--json", "--trust-code").stdout)
    report = json.loads(Path("run/report.json").read_text())["val"]
    assert measured["accuracy"] == report["accuracy"]
    assert measured["loss"] == pytest.approx(report["loss"], rel=1e-5)
    assert ft("predict", "run", "photos", "--trust-code").exit_code == 0
    ft("run", "--resume", "run", "--epochs", "3", "--trust-code")
    ft("run", "--locked", "run", "--run-dir", "again", "--trust-code")
    assert json.loads(Path("again/model.json").read_text())["preprocessing"]["value_range"] == saved
