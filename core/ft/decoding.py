"""From what an image file holds to its pixels: upright, RGB, 8 bits. Text and profiles beside them do not matter."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ft.image_files import readable_formats
from ft.pictures import Content, upright
from ft.png import bare_png

FORMATS = readable_formats()


def decode_image(content: Content) -> Image.Image:
    """Decode all of an image and return it upright, as RGB with 8 bits. Raises whatever Pillow does."""
    return _to_rgb(load_image(content))


def load_image(content: Content) -> Image.Image:
    """Decode all of an image and return it upright. Raises whatever Pillow does.

    A PNG that Pillow refuses is tried without its text and other chunks that say nothing of its pixels.
    """
    if isinstance(content, Image.Image):
        return content
    try:
        return _load(content)
    except Exception:
        bare = bare_png(content)
        if bare == content:
            raise
        with suppress(Exception):  # else it is the first failure that tells what is wrong with the file as it is
            return _load(bare)
        raise


def open_image(content: bytes) -> Image.Image:
    """Read an image as far as its header. Raises whatever Pillow does."""
    try:
        return Image.open(BytesIO(content), formats=FORMATS)
    except Exception:
        if (bare := bare_png(content)) == content:
            raise
        with suppress(Exception):
            return Image.open(BytesIO(bare), formats=FORMATS)
        raise


def image_to_tensor(image: Image.Image) -> Tensor:
    """An image's pixels, [channels, H, W]."""
    tensor: Tensor = F.pil_to_tensor(image)
    return tensor


def describe_failure(error: Exception) -> str:
    """Say in a few words why an image could not be decoded."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or not one of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}" or type(error).__name__


def _load(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        image.load()
        return upright(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without an agreed range; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels are 32-bit numbers without an agreed range; save it with 8 or 16 bits")
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
