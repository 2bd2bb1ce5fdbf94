"""What is looked at before an image is decoded: whether it is one, and what decoding it would cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from ft.data.decoding import size_of
from ft.data.image_failures import MachineFailed, failure_of
from ft.errors import FtError
from ft.serving.limits import Limits
from ft.serving.refusals import Refused

T = TypeVar("T")
MOST_SCANS = 100
"""Passes of a JPEG over its pixels. Progressive ones have about 10, and each costs as much as a whole image may."""
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def check_image(content: bytes, name: str, limits: Limits) -> None:
    """Raise Refused for what is no image, and for an image of more pixels than may be decoded; of which no more than
    the header is read."""
    height, width = reading(lambda: size_of(content), name)
    if height * width > limits.pixels:
        raise Refused(
            "pixels",
            f"{name} has {width} x {height} pixels, and an image may have {limits.pixels:,}; make it smaller",
        )
    if content.startswith(b"\xff\xd8\xff") and (scans := content.count(b"\xff\xda")) > MOST_SCANS:
        raise Refused("pixels", f"{name} is a JPEG of {scans} scans, and may have {MOST_SCANS}; save it anew")


def reading(read: Callable[[], T], name: str) -> T:
    """Return what `read` reads of an image. Raises Refused, which says why it cannot be read, or that the machine
    failed."""
    try:
        return read()
    except _TOO_LARGE as error:
        raise Refused("pixels", f"{name} is too large: {error}") from error
    except MachineFailed as failed:
        raise Refused("memory", str(failed)) from failed
    except FtError as error:  # which names the image
        raise Refused("unreadable", str(error)) from error
    except Exception as error:  # whatever a decoder raises, the image is what is wrong, or the machine
        try:
            why = f"cannot read the image {name}: {failure_of(error, name)}"
        except MachineFailed as failed:
            raise Refused("memory", str(failed)) from error
        raise Refused("format" if isinstance(error, UnidentifiedImageError) else "unreadable", why) from error
