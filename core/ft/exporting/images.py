"""Images of a run as an exported file takes them: arrays [H, W, 3] of uint8."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ft.data.decoding import decode_image
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.exporting.prepare import Compute, Prepare, batches_of
from ft.machine.display import Display
from ft.reporting.finished import Finished
from ft.reporting.found import Found
from ft.text.counting import number_of

MOST = 1000
"""Images of a split that are looked at; of more, so many drawn by chance."""


TOGETHER = 16
"""Images of one size that are asked about at once."""


@dataclass(frozen=True, eq=False)
class Looked:
    """Pictures of a split, and their numbers in the run's list of all images."""

    pictures: tuple[Picture, ...]
    places: tuple[int, ...]


def pictures_of(finished: Finished, found: Found, split: str, most: int, display: Display) -> Looked:
    """The pictures of a split that are as they were in the run, at most so many. Raises FtError where there is none;
    says how many are gone."""
    places = [place for place, image in enumerate(finished.images) if image.split == split]
    chosen = sorted(random.Random(0).sample(places, most)) if len(places) > most else places
    there = [(place, picture) for place in chosen if (picture := _unchanged(found, place)) is not None]
    if not there:
        raise FtError(
            f"an export is compared on the run's own images, and none of {number_of(len(chosen), 'image')} of its "
            f"{split} split is where {finished.run.path / 'images.csv'} says, as it was; export where they are"
        )
    if gone := len(chosen) - len(there):
        display.warn(f"{number_of(gone, 'image')} of the run's {split} split are gone or changed; the others are used")
    return Looked(tuple(picture for _, picture in there), tuple(place for place, _ in there))


def _unchanged(found: Found, place: int) -> Picture | None:
    return found.picture(place) if found.is_unchanged(place) else None


def outputs_by(
    compute: Compute, output: str, pictures: Sequence[Picture], prepare: Prepare, display: Display
) -> NDArray[np.float32]:
    """What a file gives for each picture, its `output` [N, K]. Of one size, pictures come in batches."""
    rows: list[NDArray[np.float32]] = []
    with display.progress("asking the exported model", len(pictures), unit="images") as bar:
        for some in batches_of(map(prepare, pictures), TOGETHER):
            rows.append(np.asarray(compute(np.stack(some))[output], np.float32))
            bar.advance(sum(map(len, rows)))
    return np.concatenate(rows)


def small_enough(prepare: Prepare, picture: Picture, longest: int) -> NDArray[np.uint8]:
    """The array of a picture whose longer side has at most so many pixels, to be kept beside a file."""
    image = decode_image(picture.read(), prepare.preprocessing.value_range, longest)
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return prepare.of_image(image)
