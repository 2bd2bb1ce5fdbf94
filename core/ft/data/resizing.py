"""Images resized and cut to the network's square without torch, bit for bit as `transforms` does with it: by Pillow, or
in whole numbers as torch resizes uint8 images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ft.extension.records import Interpolation, Preprocessing

Pixels = NDArray[np.uint8]
FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""As Pillow knows them."""
MOST_SIDES = 64  # how many times as long as wide an image may be before only its middle is resized
SPARE = (
    2  # decoded pixels, along either side, for each one that an image is resized to, where a JPEG is decoded smaller
)
MOST_BITS, LARGEST_WEIGHT = 22, 2**15


def resized(preprocessing: Preprocessing, height: int, width: int) -> tuple[int, int]:
    """Height and width of an image once it is resized, before it is cut or filled to the square."""
    side = preprocessing.crop_size
    if preprocessing.fit == "crop":
        shorter = preprocessing.resize_size
        return max(shorter, int(shorter * height / width)), max(shorter, int(shorter * width / height))
    if preprocessing.fit == "squash":
        return side, side
    longer = max(height, width)
    return max(1, round(side * height / longer)), max(1, round(side * width / longer))


def can_be_carried(preprocessing: Preprocessing) -> bool:
    """Whether the resize is arithmetic that a format can carry along, and not Pillow's."""
    return preprocessing.interpolation in _FUNCTIONS


def least_side(preprocessing: Preprocessing) -> int:
    """Twice what the shorter side is resized to: from there on a smaller decoded image is hardly another one."""
    resized = preprocessing.resize_size if preprocessing.fit == "crop" else preprocessing.crop_size
    return SPARE * max(resized, preprocessing.crop_size)


def mean_colour(preprocessing: Preprocessing) -> list[float]:
    """What the network sees as nothing: 0 once it is normalised, but for rounding."""
    return [float(round(255 * mean)) for mean in preprocessing.mean]


def resize_centre(preprocessing: Preprocessing, whole: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of what a long strip becomes when it is resized to `size`, as large as the crop, without making the
    rest of it.

    Pixels differ by one or two levels of grey, as Pillow rounds otherwise than torch; with "lanczos" they may differ by
    more at hard edges, and "nearest" may take a neighbour.
    """
    width, height = whole.size
    rows, columns = (min(length, preprocessing.crop_size) for length in size)
    top, left = (
        round((length - part) / 2) for length, part in zip(size, (rows, columns), strict=True)
    )  # as center_crop
    filter_ = FILTERS[preprocessing.interpolation]
    # One direction after the other, since Pillow otherwise begins with the one that suits it, and rounds between them.
    from_, to = left * width / size[1], (left + columns) * width / size[1]
    strip = whole.resize((columns, height), filter_, (from_, 0, to, height))
    from_, to = top * height / size[0], (top + rows) * height / size[0]
    return strip.resize((columns, rows), filter_, (0, from_, columns, to))


def square(preprocessing: Preprocessing, image: Image.Image) -> Pixels:
    """What the network sees of an RGB image: uint8 [S, S, 3], S being the crop."""
    side = preprocessing.crop_size
    size = resized(preprocessing, image.height, image.width)
    if preprocessing.fit == "crop":
        strip = max(size) > MOST_SIDES * preprocessing.resize_size
        whole = np.asarray(resize_centre(preprocessing, image, size)) if strip else _resize(preprocessing, image, size)
        top, left = (round((length - side) / 2) for length in whole.shape[:2])
        return np.ascontiguousarray(whole[top : top + side, left : left + side])
    pixels = _resize(preprocessing, image, size)
    if preprocessing.fit == "squash":
        return pixels
    filled = np.empty((side, side, 3), np.uint8)
    filled[:] = mean_colour(preprocessing)
    top, left = ((side - length) // 2 for length in pixels.shape[:2])
    filled[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return filled


@dataclass(frozen=True, eq=False)
class Weights:
    """How each of the places of one direction is made of the `taps` pixels from `first` on: the sum of their products
    with whole numbers [places, taps], divided by 2 to the power of `bits`."""

    first: NDArray[np.int64]
    taps: NDArray[np.int64]
    bits: int


def weights(interpolation: Interpolation, length: int, places: int) -> Weights:
    """What torch resizes `length` pixels of uint8 to so many `places` by, antialiased: weights in float64, each with as
    many bits as leave the largest within 16 (ATen/native/cpu/UpSampleKernel.cpp, _compute_index_ranges_int16_weights).
    """
    function, reach = _FUNCTIONS[interpolation]
    scale = length / places
    stretch = max(scale, 1.0)
    centre = scale * (np.arange(places) + 0.5)
    first = np.maximum((centre - reach * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach * stretch + 0.5).astype(np.int64), length)
    number = np.arange(int((last - first).max()))
    pixels = first[:, None] + number
    shares = function((pixels - centre[:, None] + 0.5) / stretch) * (pixels < last[:, None])
    shares = shares / shares.sum(1, keepdims=True)
    bits = sum(int(0.5 + shares.max() * 2 ** (each + 1)) < LARGEST_WEIGHT for each in range(MOST_BITS))
    scaled = shares * 2**bits
    return Weights(first, np.where(scaled < 0, np.ceil(scaled - 0.5), np.floor(scaled + 0.5)).astype(np.int64), bits)


def _resize(preprocessing: Preprocessing, image: Image.Image, size: tuple[int, int]) -> Pixels:
    height, width = size
    if preprocessing.interpolation not in _FUNCTIONS:
        return np.asarray(image.resize((width, height), FILTERS[preprocessing.interpolation]))
    pixels = np.asarray(image)
    for axis, places in ((1, width), (0, height)):  # torch begins with the width, and rounds between them
        if pixels.shape[axis] != places:
            pixels = _along(pixels, axis, weights(preprocessing.interpolation, pixels.shape[axis], places))
    return pixels


def _along(pixels: Pixels, axis: int, by: Weights) -> Pixels:
    shape = [1, 1, 1]
    shape[axis] = -1
    total = np.full((), 1 << (by.bits - 1), np.int64)
    for number in range(by.taps.shape[1]):
        places = np.minimum(by.first + number, pixels.shape[axis] - 1)  # beyond the edge the weight is 0
        total = total + pixels.take(places, axis).astype(np.int64) * by.taps[:, number].reshape(shape)
    made: Pixels = np.clip(total >> by.bits, 0, 255).astype(np.uint8)
    return made


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.maximum(1 - np.abs(x), 0)
    return found


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys 1981, "Cubic convolution interpolation for digital image processing", with a = -0.5, as Pillow has it."""
    x, a = np.abs(x), -0.5
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_FUNCTIONS: dict[Interpolation, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}
"""From the distance to a place to the weight of a pixel, and how far that reaches."""
