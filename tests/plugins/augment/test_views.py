"""What is particular to each augmentation; what all promise is in the conformance kit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from augmentations import augmentation
from ft import FtError, Preprocessing
from ft.data.transforms import train_transform

SMALL = Preprocessing(crop_size=16, resize_size=18)
IMAGE = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def views(use: str, number: int = 60, **settings: Any) -> list[torch.Tensor]:
    transform = augmentation(use, **settings).build(SMALL)
    torch.manual_seed(0)
    return [transform(IMAGE) for _ in range(number)]


def positions(made: list[torch.Tensor]) -> set[tuple[int, bool]]:
    """In how many quarter turns, and mirrored or not, an image is the original."""
    every = {(turns, mirrored): IMAGE.rot90(turns, (1, 2)) for turns in range(4) for mirrored in (False, True)}
    every = {place: image.flip(-1) if place[1] else image for place, image in every.items()}
    return {place for each in made for place, image in every.items() if torch.equal(each, image)}


def test_geometric_shows_all_eight_positions_and_no_other() -> None:
    assert len(positions(views("geometric"))) == 8
    assert {turns for turns, mirrored in positions(views("geometric", mirror=False)) if not mirrored} == {0, 1, 2, 3}
    assert not any(mirrored for _, mirrored in positions(views("geometric", mirror=False)))
    unturned = positions(views("geometric", rotate=False))
    assert unturned == {(0, False), (0, True), (2, False), (2, True)}
    assert all(len(positions([each])) == 1 for each in views("geometric", 20))


@pytest.mark.parametrize(
    ("use", "settings", "torchvisions"),
    [
        ("trivial", {}, v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)),
        ("rand", {"changes": 3, "strength": 5}, v2.RandAugment(3, 5, interpolation=InterpolationMode.BILINEAR)),
        ("flip", {"p": 0.2}, v2.RandomHorizontalFlip(0.2)),
    ],
)
def test_torchvisions_transforms_are_torchvisions(use: str, settings: dict[str, Any], torchvisions: Any) -> None:
    ours = views(use, 10, **settings)
    torch.manual_seed(0)
    assert all(torch.equal(each, torchvisions(IMAGE)) for each in ours)


def test_a_smaller_section_is_cut_from_an_image_that_is_decoded_larger() -> None:
    usual, smaller = (
        train_transform(SMALL, augmentation("standard", **scale)) for scale in ({}, {"scale": [0.1, 0.5]})
    )
    assert usual.least is not None
    assert smaller.least is not None
    assert smaller.least / usual.least == pytest.approx((0.35 / 0.1) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scale": [0.5, 0.2]}, r"images\.augment\.scale.*write the smaller one first"),
        ({"scale": [0, 1]}, r"images\.augment\.scale\.0' cannot be 0"),
        ({"scal": [0.2, 1]}, r"images\.augment\.scal'\. Did you mean 'scale'\?"),
    ],
)
def test_settings_that_make_no_sense_are_told(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(FtError, match=told):
        augmentation("standard", **settings)


def test_nothing_is_built_where_nothing_varies() -> None:
    transform = train_transform(SMALL, augmentation("none"))
    assert not transform.varied
    assert torch.equal(transform(IMAGE), transform(IMAGE))


def test_an_erased_rectangle_has_the_mean_colour_and_none_is_erased_unasked() -> None:
    """Zhong et al. 2020, section 3.1: 2 to 33 % of the area, here of the views of an image without black."""
    white = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    mean = torch.tensor([round(255 * each) for each in SMALL.mean], dtype=torch.uint8)

    def erased(**settings: Any) -> list[float]:
        transform = augmentation("standard", **settings).build(SMALL)
        torch.manual_seed(0)
        made = [transform(white) for _ in range(40)]
        inside = [(each == mean[:, None, None]).all(0) for each in made]
        assert all((each[:, ~where] == 255).all() for each, where in zip(made, inside, strict=True))
        return [float(where.float().mean()) for where in inside]

    assert set(erased()) == {0.0}
    assert all(0.01 < share < 0.36 for share in erased(erase=1.0))
    assert 10 < sum(share > 0 for share in erased(erase=0.5)) < 30
