"""Images resized without torch's resize: by numpy, and as arithmetic that formats carry along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

from ft import Preprocessing
from ft.data.carried import Square
from ft.data.pixels import image_to_tensor
from ft.data.resizing import MOST_SIDES, square
from ft.data.transforms import eval_transform

SIDES = st.integers(1, 90)
SEEN = st.builds(
    lambda crop, more, **kind: Preprocessing(crop_size=crop, resize_size=crop + more, **kind),
    st.integers(1, 40),
    st.integers(0, 9),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
    fit=st.sampled_from(["crop", "squash", "pad"]),
    mean=st.just((0.485, 0.456, 0.1)),
)


def noise(height: int, width: int) -> Image.Image:
    drawn = np.random.default_rng(height * 100 + width).integers(256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


def with_torch(preprocessing: Preprocessing, image: Image.Image) -> Any:
    return eval_transform(preprocessing)(image_to_tensor(image)).permute(1, 2, 0).numpy()


@given(SEEN, SIDES, SIDES)
@settings(max_examples=60)
def test_numpy_and_carried_arithmetic_give_torchs_pixels_bit_for_bit(
    preprocessing: Preprocessing, height: int, width: int
) -> None:
    image = noise(height, width)
    expected = with_torch(preprocessing, image)
    assert np.array_equal(square(preprocessing, image), expected)
    if max(height, width) <= MOST_SIDES * min(height, width):
        carried = Square(preprocessing)(torch.from_numpy(np.asarray(image)[None].copy()))
        assert np.array_equal(carried[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("shape", [(33, 47), (700, 3), (2, 1000)])
def test_what_pillow_resizes_is_the_same_without_torch(interpolation: Any, shape: tuple[int, int]) -> None:
    preprocessing = Preprocessing(crop_size=24, resize_size=27, interpolation=interpolation)
    assert np.array_equal(square(preprocessing, noise(*shape)), with_torch(preprocessing, noise(*shape)))


def test_sizes_stay_symbols_where_the_arithmetic_is_exported() -> None:
    sizes = {"images": dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)}
    for fit in ("pad",):  # a crop is exported in tests/core/exporting
        square_ = Square(Preprocessing(crop_size=16, resize_size=19, fit=fit))
        program = torch.export.export(
            square_, (torch.zeros(2, 20, 30, 3, dtype=torch.uint8),), dynamic_shapes=sizes
        ).module()
        for height, width in ((19, 40), (41, 16), (16, 16)):
            images = torch.from_numpy(np.stack([np.asarray(noise(height, width))] * 3))
            assert torch.equal(program(images), square_(images))
