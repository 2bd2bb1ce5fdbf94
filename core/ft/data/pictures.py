"""Where an image comes from: a file, or what a data source's `open` returns; named, read and told apart alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ft.errors import FtError
from ft.extension.records import Sample
from ft.text.counting import with_article
from ft.text.reading import MOST_IMAGE, open_plain, read_bytes

Content = bytes | Image.Image
"""An encoded image, or one that is decoded already."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What the EXIF tag says of an image that is not upright."""
SIDEWAYS = tuple(turn for said, turn in _TURNS.items() if said > 4)
"""The turns that make height of width."""

_DTYPES = ("uint8", "bool", "uint16", "int32", "float32")
_MAY_RETURN = "bytes, a path, a PIL image, or an array [height, width] or [height, width, 3] of uint8"


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, not read yet.

    `name` is its alone and stands for it in messages and lists: the path of its file, or the key that a data source
    gave it. `path` is its file, or None where `open` returns it; `within` is the archive out of which it does, and
    `state` says whether it is still the same.
    """

    name: str
    path: Path | None = None
    open: Callable[[], object] | None = None
    within: Path | None = None
    state: str = ""

    @classmethod
    def at(cls, path: Path) -> Picture:
        """The image in a file."""
        return cls(str(path), path)

    def read(self) -> Content:
        """Read the file, or ask `open`. Raises OSError, and ValueError for what `open` raised or should not return."""
        return _content(self.path if self.open is None else self._opened())

    def digest(self) -> str:
        """The sha256 of the content: of a file's bytes, or of form and pixels of what is decoded. Raises as `read`."""
        if self.open is None and self.path is not None:
            with open_plain(self.path) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return content_digest(self.read())

    def _opened(self) -> object:
        assert self.open is not None
        try:
            return self.open()
        except (OSError, FtError, MemoryError):
            raise
        except Exception as error:  # a stranger's code, for this one image: told like a file that is broken
            raise ValueError(f"opening it raised {type(error).__name__}: {error}") from error


def picture_of(sample: Sample) -> Picture:
    """The image of a sample."""
    if sample.path is None:
        return Picture(sample.key, open=sample.open, state=sample.state)
    return Picture.at(sample.path if isinstance(sample.path, Path) else Path(sample.path))


def content_digest(content: Content) -> str:
    """The sha256 of what was read. Equal pixels in an equal form have an equal one, an array's or a PIL image's."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    form = [content.mode, content.size, content.info.get("transparency"), content.getpalette()]
    if content.palette is not None and content.palette.mode == "RGBA":  # which says of each colour how opaque it is
        form.append(content.getpalette("RGBA"))
    made = hashlib.sha256(repr(tuple(form)).encode())
    made.update(content.tobytes())
    return made.hexdigest()


def upright(image: Image.Image) -> Image.Image:
    """An image turned as its EXIF data say."""
    turn = turn_of(image)
    return image if turn is None else image.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How an image is to be turned, as its EXIF data say; None where it is upright, and where they are damaged."""
    try:
        said = image.getexif().get(_ORIENTATION, 1)
    except MemoryError:
        raise
    except Exception:  # whatever reading damaged EXIF data raises, the pixels are whole
        return None
    return _TURNS.get(said) if isinstance(said, int) else None


def objection_to(sample: Sample) -> str:
    """What is wrong with how a sample says where its image is, or ""."""
    if sample.open is None:
        if not isinstance(sample.path, str | os.PathLike):
            kind = with_article(type(sample.path).__name__)
            return f"{kind} as path; what is no file is given as ft.Sample(open=FUNCTION, key=NAME, label=LABEL)"
        said = "a key" if sample.key else "a state" if sample.state else ""
        return f"{said} beside a path; it stands for an image that open returns" if said else ""
    if sample.path is not None:
        return "a path and open; give one of them"
    if not callable(sample.open):
        kind = with_article(type(sample.open).__name__)
        return f"{kind} as open; it is a function without arguments that returns the image"
    if not isinstance(sample.key, str) or not sample.key:
        return "open without a key: a name that is this image's alone and the same each time"
    if not isinstance(sample.state, str):
        return f"{with_article(type(sample.state).__name__)} as state; it is a text"
    return ""


def _content(given: object) -> Content:
    if isinstance(given, str | os.PathLike):
        return read_bytes(given, MOST_IMAGE)
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, np.ndarray):
        return _from_array(given)
    if isinstance(given, Image.Image):
        return upright(given)
    raise ValueError(f"open returned {with_article(type(given).__name__)}; it returns {_MAY_RETURN}")


def _from_array(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Image.Image:
    if not array.size:
        raise ValueError("it has no pixels")
    plain = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    coloured = plain.ndim == 3 and plain.shape[2] in (3, 4) and plain.dtype == np.uint8
    if not coloured and not (plain.ndim == 2 and plain.dtype.name in _DTYPES):
        raise ValueError(f"open returned an array {list(array.shape)} of {array.dtype}; it returns {_MAY_RETURN}")
    return Image.fromarray(np.ascontiguousarray(plain, plain.dtype.newbyteorder("=")))
