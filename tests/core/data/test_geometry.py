"""Which part of an image the network sees."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from ft import Preprocessing
from ft.data.geometry import laid_out, seen_part
from ft.data.transforms import eval_transform


def middle(of: Tensor) -> tuple[float, float]:
    """The middle, from the left and from above, of what is bright."""
    weights = of.double() / of.double().sum()
    rows, columns = weights.sum(1), weights.sum(0)
    return float((columns * (torch.arange(len(columns)) + 0.5)).sum()), float(
        (rows * (torch.arange(len(rows)) + 0.5)).sum()
    )


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize(("height", "width"), [(120, 90), (64, 200), (101, 101)])
@pytest.mark.parametrize("resize", [48, 40, 30])
def test_what_is_found_in_the_square_is_laid_where_it_is_in_the_image(
    fit: Literal["crop", "squash", "pad"], height: int, width: int, resize: int
) -> None:
    """A bright spot is seen as the network sees it, and laid back."""
    preprocessing = Preprocessing(40, resize, mean=(0, 0, 0), fit=fit)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    down, across = round(height * 0.55), round(width * 0.46)
    image[:, down - 6 : down + 6, across - 6 : across + 6] = 255
    seen = eval_transform(preprocessing)(image)[0].float()
    laid = laid_out(seen, seen_part(preprocessing, height, width), height, width)
    assert laid.shape == (height, width)
    assert middle(laid) == pytest.approx((across, down), abs=0.7)


@pytest.mark.parametrize(
    ("fit", "resize", "box"),
    [
        ("crop", 40, (40, 0, 120, 80)),
        ("crop", 50, (48, 8, 112, 72)),
        ("squash", 40, (0, 0, 160, 80)),
        ("pad", 40, (0, 0, 160, 80)),
    ],
)
def test_what_is_cut_away_has_no_map(
    fit: Literal["crop", "squash", "pad"], resize: int, box: tuple[int, int, int, int]
) -> None:
    part = seen_part(Preprocessing(40, resize, fit=fit), 80, 160)
    left, top, right, bottom = part.inside(80, 160)
    assert (left, top, right, bottom) == box
    laid = laid_out(torch.ones(40, 40), part, 80, 160)
    assert laid[top:bottom, left:right].min() == pytest.approx(1)
    laid[top:bottom, left:right] = 0
    assert not laid.any()
