"""From what an image file holds to its pixels: upright, RGB, 8 bits. Text and profiles beside them do not matter."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from ft.data.image_files import readable_formats
from ft.data.pictures import SIDEWAYS, Content, Picture, turn_of, upright
from ft.data.png import bare_png
from ft.data.values import Range, Values, deep_values, to_8_bits, values_of
from ft.text.reading import open_plain

FORMATS = readable_formats()


@dataclass(frozen=True)
class Facts:
    """What is unusual about an image: the values of one with more than 8 bits, and how many pages or frames it has, of
    which the first is used."""

    values: Values | None = None
    frames: int = 1


LARGE = 4_000_000
"""Pixels from which a JPEG is decoded at a smaller size, where a smaller size will do."""

NOTHING = Facts()
"""Nothing is unusual."""


def decode_image(content: Content, value_range: Range | None = None, least: int | None = None) -> Image.Image:
    """Decode all of an image and return it upright, as RGB with 8 bits.

    Of more than 8 bits, the values in `value_range` become 0 to 255. A large JPEG is decoded at a half, a quarter or an
    eighth of its size while both sides keep `least` pixels. Raises whatever Pillow does, and ValueError for pixels that
    have no range.
    """
    return to_rgb(load_image(content, least), value_range)


def load_image(content: Content, least: int | None = None) -> Image.Image:
    """Decode all of an image and return it upright, smaller where `decode_image` says so. Raises whatever Pillow does.

    A PNG that Pillow refuses is tried without its text and other chunks that say nothing of its pixels.
    """
    if isinstance(content, Image.Image):
        return content
    try:
        return _load(content, least)
    except Exception:
        bare = bare_png(content)
        if bare == content:
            raise
        with suppress(Exception):  # else it is the first failure that tells what is wrong with the file as it is
            return _load(bare, least)
        raise


def examine(content: Content) -> Facts:
    """Decode all of an image and say what is unusual about it. Raises whatever Pillow does."""
    facts, image = decode_as_stored(content, least=1)  # which reads the whole file all the same
    if facts.values is None:
        to_rgb(image, None)
    return facts


def decode_as_stored(content: Content, least: int | None = None) -> tuple[Facts, Image.Image]:
    """Decode all of an image; say what is unusual about it, and return it upright, with the values that it has.

    It is smaller where `decode_image` says so. Raises whatever Pillow does.
    """
    if isinstance(content, Image.Image):
        return Facts(values_of(content, "")), content
    with open_image(content) as image:
        rawmode = str([tile[3] for tile in getattr(image, "tile", ())])  # how pixels lie in the file, in Pillow's words
        frames = _frames(image, content)
        try:
            _load_pixels(image, least)
            loaded = image
        except Exception:
            loaded = load_image(content, least)
        return Facts(values_of(loaded, rawmode), frames), upright(loaded)


def to_rgb(image: Image.Image, value_range: Range | None) -> Image.Image:
    """An image as RGB with 8 bits, as `decode_image` makes it. Raises ValueError for values that have no range."""
    if (values := deep_values(image)) is not None:
        return Image.fromarray(to_8_bits(values, value_range)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


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


def size_of(content: Content) -> tuple[int, int]:
    """Height and width of an image once it is upright, of which no more than the header is decoded. Raises whatever
    Pillow does."""
    if isinstance(content, Image.Image):
        return content.height, content.width
    with open_image(content) as image:
        return _upright_size(image)


def size_of_picture(picture: Picture) -> tuple[int, int]:
    """The same of a picture, of whose file no more than the header is read. Raises whatever Pillow and the disk do."""
    if picture.open is not None or picture.path is None:
        return size_of(picture.read())
    with open_plain(picture.path) as file, Image.open(file, formats=FORMATS) as image:
        return _upright_size(image)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return (image.width, image.height) if turn_of(image) in SIDEWAYS else (image.height, image.width)


def _load(content: bytes, least: int | None) -> Image.Image:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        _load_pixels(image, least)
        return upright(image)


def _load_pixels(image: Image.Image, least: int | None) -> None:
    if least is not None and image.format in ("JPEG", "MPO") and image.width * image.height >= LARGE:
        image.draft(None, (least, least))  # libjpeg's reduced inverse cosine transform
    image.load()


def _frames(image: Image.Image, content: bytes) -> int:
    """How many pages or frames there are in a file that was opened just now."""
    if image.format == "MPO":
        return 1  # a photograph's preview is no page
    try:
        if not isinstance(getattr(type(image), "n_frames", None), property):
            return getattr(image, "n_frames", 1)
        with open_image(content) as another:  # they are counted by going through them
            return getattr(another, "n_frames", 1)
    except MemoryError:
        raise
    except Exception:  # whatever damaged later frames raise, the first one is what is used
        return 1
