"""From files to pixels: what is beside the pixels does not matter."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ft import FtError
from ft.data.decoding import Facts, decode_image, examine
from ft.data.pictures import Picture
from ft.data.png import bare_png
from ft.data.transforms import read_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(name: str = "PNG", image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, name, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


WHOLE = encoded()
END = len(WHOLE) - 12


def with_chunk(data: bytes, at: int = 33) -> bytes:
    """The PNG with a chunk after its header, or elsewhere."""
    return WHOLE[:at] + data + WHOLE[at:]


MUCH = zlib.compress(b"a" * 2_000_000)
BESIDE = {
    "much compressed text": with_chunk(chunk(b"zTXt", b"k\0\0" + MUCH)),
    "much compressed text at the end": with_chunk(chunk(b"zTXt", b"k\0\0" + MUCH), END),
    "much international text": with_chunk(chunk(b"iTXt", b"k\0\1\0\0\0" + MUCH)),
    "very much text": with_chunk(
        chunk(b"tEXt", b"k\0" + bytes(40_000_000)) + chunk(b"tEXt", b"l\0" + bytes(30_000_000))
    ),
    "text with another checksum": with_chunk(b"\0\0\0\5tEXtk\0abc\0\0\0\0"),
    "text that is cut off": with_chunk(chunk(b"tEXt", b"k\0" + b"a" * 500), END)[: END + 100],
    "text compressed in an unknown way": with_chunk(chunk(b"zTXt", b"k\0\7nonsense")),
    "a large colour profile": with_chunk(chunk(b"iCCP", b"n\0\0" + MUCH)),
    "a damaged colour profile": with_chunk(chunk(b"iCCP", b"n\0\7nonsense")),
    "a short pHYs": with_chunk(chunk(b"pHYs", b"12")),
    "a short gAMA": with_chunk(chunk(b"gAMA", b"1")),
    "damaged EXIF": with_chunk(chunk(b"eXIf", b"nonsense")),
    "damaged EXIF as text": with_chunk(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  20\nzz")),
    "no end": WHOLE[:END],
}


@pytest.mark.parametrize("content", BESIDE.values(), ids=BESIDE.keys())
def test_what_is_beside_the_pixels_of_a_png_does_not_matter(content: bytes) -> None:
    assert np.array_equal(np.asarray(decode_image(content)), PIXELS)


def test_what_decides_over_pixels_is_kept() -> None:
    image = Image.fromarray(PIXELS).quantize(16)
    content = encoded(image=image, transparency=3)
    texted = content[:33] + chunk(b"zTXt", b"k\0\0" + MUCH) + content[33:]
    assert np.array_equal(np.asarray(decode_image(texted)), np.asarray(decode_image(content)))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(exif=exif)
    texted = turned[:33] + chunk(b"zTXt", b"k\0\0" + MUCH) + turned[33:]
    assert np.array_equal(np.asarray(decode_image(texted)), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("missing", [60, 400, len(WHOLE) - 60])
def test_pixels_that_are_missing_are_missed_also_in_a_png_with_text(missing: int) -> None:
    content = with_chunk(chunk(b"zTXt", b"k\0\0" + MUCH))
    with pytest.raises(FtError, match="cannot read the image a: "):
        read_image(Picture("a", open=lambda: content[:-missing]))


def test_what_is_no_png_is_left_as_it_is() -> None:
    for content in (b"", b"text", encoded("JPEG")):
        assert bare_png(content) == content


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "TIFF"])
def test_large_profiles_and_damaged_exif_do_not_matter_in_other_formats(name: str) -> None:
    plain = np.asarray(decode_image(encoded(name)))
    assert np.array_equal(np.asarray(decode_image(encoded(name, icc_profile=bytes(3_000_000)))), plain)
    if name != "TIFF":
        assert np.array_equal(np.asarray(decode_image(encoded(name, exif=b"Exif\0\0nonsense"))), plain)


@pytest.mark.parametrize(("name", "opened"), [("PNG", 1), ("JPEG", 1), ("BMP", 1), ("TIFF", 2)])
def test_an_image_is_opened_once_to_be_examined_unless_its_pages_are_counted(
    name: str, opened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens: list[object] = []
    plain = Image.open

    def counted(*given: Any, **options: Any) -> Any:
        opens.append(given)
        return plain(*given, **options)

    content = encoded(name)
    monkeypatch.setattr(Image, "open", counted)
    assert examine(content) == Facts()
    assert len(opens) == opened


@pytest.mark.parametrize("name", ["GIF", "TIFF", "PNG", "WEBP"])
def test_pages_and_frames_are_counted(name: str) -> None:
    others = [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    assert examine(encoded(name, save_all=True, append_images=others)) == Facts(frames=3)
