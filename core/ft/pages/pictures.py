"""Pictures as a page embeds them: small, and within the page itself."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 160
"""Pixels of the longer side of a thumbnail."""
_QUALITY = 75


def thumbnail(image: Image, side: int = SIDE) -> bytes:
    """A small copy of an upright image, as a JPEG file, with nothing in it but pixels."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def data_uri(jpeg: bytes) -> str:
    """A JPEG file as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
