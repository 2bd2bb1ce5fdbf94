"""That the crop discards much of many images is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from ft import Preprocessing
from ft.data.cropping import LOOKED_AT, Cropping, look_at_crops
from ft.data.pictures import Picture

CROP = Preprocessing(crop_size=224, resize_size=256)


def pictures(folder: Path, sizes: list[tuple[int, int]]) -> list[Picture]:
    for number, size in enumerate(sizes):
        Image.new("L", size).save(folder / f"{number}.png")
    return [Picture.at(folder / f"{number}.png") for number in range(len(sizes))]


def look(some: Sequence[Picture | None]) -> Cropping:
    return look_at_crops(len(some), some.__getitem__, CROP)


def test_much_of_many_is_warned_of_and_how_to_mend_it(tmp_path: Path) -> None:
    found = look(pictures(tmp_path, [(320, 180)] * 2 + [(200, 200)] * 8))
    assert (found.looked_at, found.cut) == (10, 2)
    assert found.lost == pytest.approx(1 - 0.875**2 * 9 / 16, abs=0.01)
    assert "more than half of 2 images of 10" in found.warning
    assert "57% of their area" in found.warning
    assert "--fit pad" in found.warning


@pytest.mark.parametrize("sizes", [[(300, 200)] * 4, [(320, 180)] + [(200, 200)] * 19])
def test_usual_photographs_and_a_few_long_ones_are_not_warned_of(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    assert look(pictures(tmp_path, sizes)).warning == ""


def test_some_of_many_images_are_looked_at_and_what_is_gone_is_passed_over(tmp_path: Path) -> None:
    some = pictures(tmp_path, [(20, 200)] * 5)
    gone = Picture.at(tmp_path / "gone.png")
    assert look([*some, gone, None]).looked_at == 5
    assert 200 < look(some * 500).looked_at <= LOOKED_AT
    assert look([gone]).warning == ""
    assert look([]).warning == ""
