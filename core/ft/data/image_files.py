"""Which files are images that ft reads: known by their names, or by their first bytes. Nothing is decoded here."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class ImageFormat:
    """An image format by Pillow's name: how its files are called, how their first 16 bytes look, and which module
    reads it."""

    name: str
    suffixes: tuple[str, ...]
    begins: re.Pattern[bytes]
    module: str
    missing: str = ""
    """What to install where `module` is not there."""


def _format(name: str, suffixes: str, begins: bytes, module: str, missing: str = "") -> ImageFormat:
    return ImageFormat(name, tuple(suffixes.split()), re.compile(begins, re.DOTALL), module, missing)


KNOWN = (
    _format("JPEG", ".jpg .jpeg .jpe .jfif .mpo", rb"\xff\xd8\xff", "PIL.JpegImagePlugin"),
    _format("PNG", ".png .apng", rb"\x89PNG\r\n\x1a\n", "PIL.PngImagePlugin"),
    _format("BMP", ".bmp", rb"BM....\0\0\0\0", "PIL.BmpImagePlugin"),
    _format("GIF", ".gif", rb"GIF8[79]a", "PIL.GifImagePlugin"),
    _format("WEBP", ".webp", rb"RIFF....WEBP", "PIL.WebPImagePlugin"),
    _format("TIFF", ".tif .tiff", rb"II[*+]\0|MM\0[*+]", "PIL.TiffImagePlugin"),
    _format("PPM", ".ppm .pgm .pbm .pnm", rb"P[1-6]\s", "PIL.PpmImagePlugin"),
    _format(
        "JPEG2000",
        ".jp2 .j2k .j2c .jpc .jpf .jpx",
        rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
        "PIL.Jpeg2KImagePlugin",
    ),
    _format("AVIF", ".avif .avifs", rb"....ftypavi[fs]", "PIL.AvifImagePlugin", "a Pillow of 11.3 or newer"),
    _format(
        "HEIF",
        ".heic .heics .heif .heifs .hif",
        rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)",
        "pillow_heif",
        "pip install 'ftkit[heif]'",
    ),
)


BEGINNING = 16
"""Bytes by which a format is known."""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return the formats that can be read here, by Pillow's names, having loaded what reads them.

    A list, because Pillow otherwise tries every format on every file, among them ones that start other programs (EPS);
    loaded at once, because loading further formats while other threads open files makes Pillow reject good ones.
    """
    return tuple(each.name for each in KNOWN if _load(each))


def is_image(path: str | Path) -> bool:
    """Whether a file is an image that can be read, as its name says, or its first bytes where it has no suffix.

    A file of a name without suffix that cannot be opened counts as one, so that it is reported and not passed over.
    """
    named = named_as_image(os.path.basename(path))
    if named is not None:
        return named
    try:
        return image_format(Path(path)) in readable_formats()
    except OSError:
        return True


def named_as_image(name: str) -> bool | None:
    """Whether the last part of a path is the name of an image that can be read; None for one without suffix."""
    suffix = _suffix(name).lower()
    if suffix in _suffixes():
        return _suffixes()[suffix] in readable_formats()
    return False if suffix and not suffix[1:].isdecimal() else None  # "IMG 2024.05.03" has no suffix, either


def image_format(path: Path) -> str:
    """Return the image format that a file's first bytes say it has, "" for any other. Raises OSError."""
    if path.exists() and not path.is_file():
        return ""  # a pipe would wait for someone to write into it
    with path.open("rb") as file:
        return format_in(file.read(BEGINNING))


def format_in(head: bytes) -> str:
    """The image format that the first bytes of a file say it has, "" for any other."""
    return next((each.name for each in KNOWN if each.begins.match(head)), "")


def what_reads(name: str) -> str:
    """Return what to install so that a format can be read; "" where it can be."""
    return "" if name in readable_formats() else next(each.missing for each in KNOWN if each.name == name)


def _suffix(name: str) -> str:
    """As pathlib has it, which takes ten times as long to find it."""
    place = name.rfind(".")
    return name[place:] if 0 < place < len(name) - 1 else ""


@functools.cache
def _suffixes() -> Mapping[str, str]:
    return {suffix: each.name for each in KNOWN for suffix in each.suffixes}


def _load(each: ImageFormat) -> bool:
    try:
        module = import_module(each.module)
    except ImportError:  # it is not there, or of a version that does not fit
        return False
    if each.name == "HEIF":
        module.register_heif_opener()
    return bool(getattr(module, "SUPPORTED", True))  # Pillow may have been built without
