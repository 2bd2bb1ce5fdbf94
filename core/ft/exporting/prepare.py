"""Pictures as an exported file takes them, without torch: arrays [H, W, 3] of uint8, those of one size together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ft.data.decoding import decode_image
from ft.data.pictures import Picture
from ft.data.resizing import least_side, square
from ft.data.turned import View
from ft.exporting.records import Size
from ft.extension.records import Preprocessing

Compute = Callable[[Any], Any]
"""From images [N, H, W, 3] of uint8 to the arrays of the outputs by their names."""


@dataclass(frozen=True)
class Prepare:
    """Makes of a picture the array that a file takes of it."""

    preprocessing: Preprocessing
    size: Size
    views: Sequence[View] = ()
    """In which views the image is asked about, if not as it is: then it is what the network sees, framed so that a file
    that resizes and cuts leaves that as it is, and the views are those of what the network sees."""

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        least = least_side(self.preprocessing)
        return self.of_image(decode_image(picture.read(), self.preprocessing.value_range, least))

    def of_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """The same of an RGB image."""
        if not self.views:
            return np.array(image) if self.size == "any" else square(self.preprocessing, image)
        seen, side = square(self.preprocessing, image), self._framed
        framed = np.zeros((side, side, 3), np.uint8)
        framed[self._seen] = seen
        return framed

    def seen_in(self, view: View, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of images [N, H, W, 3] that were made for `views`."""
        made = images.copy()
        rows, columns = self._seen
        made[:, rows, columns] = view.of_arrays(images[:, rows, columns])
        return made

    @property
    def _framed(self) -> int:
        """Height and width of an image that a file resizes to just these, or takes as it is."""
        cut = self.size == "any" and self.preprocessing.fit == "crop"
        return self.preprocessing.resize_size if cut else self.preprocessing.crop_size

    @property
    def _seen(self) -> tuple[slice, slice]:
        """Rows and columns of such an image that are seen."""
        side = self.preprocessing.crop_size
        begin = round((self._framed - side) / 2)  # as center_crop rounds
        return slice(begin, begin + side), slice(begin, begin + side)


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
