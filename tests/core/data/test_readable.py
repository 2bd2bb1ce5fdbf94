"""What the check of images passes on to whoever keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ft.data.pictures import picture_of
from ft.data.readable import Ahead, examined
from ft.data.transforms import eval_transform
from ft.extension.records import Preprocessing, Sample


def test_pixels_that_are_passed_on_are_dense_so_that_keeping_them_waits_for_no_core(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    transform = eval_transform(Preprocessing(crop_size=24, resize_size=32))
    picture = picture_of(Sample(path, "a"))
    ahead = Ahead(frozenset([picture.name]), transform, True, 1, lambda _: True, lambda passed, _: len(list(passed)))
    _, _, pixels = examined(picture, path.read_bytes(), ahead)
    assert pixels is not None
    assert pixels.shape == (3, 24, 24)
    assert pixels.is_contiguous()
