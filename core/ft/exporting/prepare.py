"""Pictures as an exported file takes them, without torch: arrays [H, W, 3] of uint8, those of one size together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ft.data.decoding import decode_image
from ft.data.pictures import Picture
from ft.data.resizing import least_side, square
from ft.exporting.records import Size
from ft.extension.records import Preprocessing

Compute = Callable[[Any], Any]
"""From images [N, H, W, 3] of uint8 to the arrays of the outputs by their names."""


@dataclass(frozen=True)
class Prepare:
    """Makes of a picture the array that a file takes of it."""

    preprocessing: Preprocessing
    size: Size

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        least = least_side(self.preprocessing)
        return self.of_image(decode_image(picture.read(), self.preprocessing.value_range, least))

    def of_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """The same of an RGB image."""
        return np.array(image) if self.size == "any" else square(self.preprocessing, image)


def batches_of(arrays: Iterator[NDArray[np.uint8]], most: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Arrays as they come, those of one size that follow each other together."""
    waiting: list[NDArray[np.uint8]] = []
    for array in arrays:
        if waiting and (waiting[0].shape != array.shape or len(waiting) == most):
            yield waiting
            waiting = []
        waiting.append(array)
    if waiting:
        yield waiting
