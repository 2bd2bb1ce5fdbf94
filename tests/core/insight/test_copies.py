"""Copies are told from images that only look alike, whatever was done to their files."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from ft.insight.copies import Copy, find_copies
from ft.insight.likeness import signature


def cell(seed: int) -> Image.Image:
    """A picture of one kind of thing: two dark bars on a bright ground that is darker at its edges, as all of them
    have, with blots of its own."""
    draw = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, 120), np.linspace(-1, 1, 120))
    bright = 190 - 50 * (across**2 + down**2)
    bright[38:42] = bright[78:82] = 60
    blots = Image.fromarray((draw.random((12, 12)) * 255).astype(np.uint8)).resize((120, 120), Image.Resampling.BICUBIC)
    own = np.asarray(blots, np.float32) / 255 - 0.5
    return Image.fromarray(np.clip(bright + 40 * own + draw.normal(0, 2, own.shape), 0, 255).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(io.BytesIO(file.getvalue()))


CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "smaller": (lambda image: image.resize((70, 70), Image.Resampling.BICUBIC), "as it is"),
    "larger and darker": (lambda image: image.resize((300, 300)).point(lambda value: value * 0.8), "as it is"),
    "compressed": (compressed, "as it is"),
    "mirrored": (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "mirrored"),
    "mirrored and compressed": (
        lambda image: compressed(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "mirrored",
    ),
    "turned": (lambda image: image.transpose(Image.Transpose.ROTATE_180), "turned by 180 degrees"),
}


@pytest.fixture(scope="module")
def cells() -> list[Image.Image]:
    return [cell(seed) for seed in range(40)]


def found(images: list[Image.Image]) -> tuple[Copy, ...]:
    return find_copies(torch.stack(list(map(signature, images))), [str(place) for place in range(len(images))])


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_among_images_that_look_alike(change: str, cells: list[Image.Image]) -> None:
    make, said = CHANGES[change]
    images = [*cells, make(cells[17])]
    copies = found(images)
    assert [(copy.first, copy.second, copy.changed) for copy in copies] == [(17, 40, said)]


def test_things_of_one_kind_correlate_and_are_no_copies(cells: list[Image.Image]) -> None:
    flat = torch.stack([signature(image) for image in cells]).float().flatten(1)
    assert torch.corrcoef(flat).fill_diagonal_(1).min() > 0.8
    assert found(cells) == ()


def test_equal_files_are_copies_whatever_they_show() -> None:
    images = torch.stack([signature(Image.new("L", (50, 50), value)) for value in (10, 90, 10, 10)])
    copies = find_copies(images, ["a", "b", "a", "a"])
    assert [(copy.first, copy.second, copy.changed) for copy in copies] == [
        (0, 2, "the same bytes"),
        (0, 3, "the same bytes"),
    ]


def test_images_of_one_grey_have_nothing_to_compare() -> None:
    images = [Image.new("L", (50, 50), value) for value in (10, 200, 90)]
    assert found(images) == ()
