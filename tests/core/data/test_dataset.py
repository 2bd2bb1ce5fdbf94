"""Views that are replayed follow from the image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from ft.config.component import ComponentConfig
from ft.data.augmentation import choose_augmentation
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.pictures import Picture, content_digest
from ft.data.transforms import train_transform
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing

Replayed = Callable[[str, Sequence[str]], list[bytes]]


@pytest.fixture
def replayed(tmp_path: Path, plugins: Plugins) -> Replayed:
    """The first four views that an augmentation makes of a.png, where it lies among these files."""
    for number, name in enumerate("abc"):
        noise = torch.randint(256, (8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
        Image.fromarray(noise.numpy()).save(tmp_path / f"{name}.png")

    def views(use: str, names: Sequence[str]) -> list[bytes]:
        chosen = choose_augmentation(ComponentConfig(use=use), plugins)
        preprocessing = Preprocessing(crop_size=8, resize_size=8)
        items = [Item(Picture.at(tmp_path / f"{name}.png"), 0) for name in names]
        digests = {item.picture.name: content_digest(item.picture.read()) for item in items}
        dataset = ImageDataset(items, train_transform(preprocessing, chosen), 0, 4, digests)
        return [dataset[epoch, list(names).index("a")][0].numpy().tobytes() for epoch in range(4)]

    return views


@pytest.mark.parametrize("use", ["geometric", "strong"])
def test_an_image_has_the_same_views_in_every_split_and_wherever_it_lies_among_the_images(
    replayed: Replayed, use: str
) -> None:
    assert replayed(use, "abc") == replayed(use, "ba") == replayed(use, "a")


def test_of_eight_positions_none_comes_again_before_all_have_been_seen_and_of_two_every_other_one(
    replayed: Replayed,
) -> None:
    assert len(set(replayed("geometric", "abc"))) == 4
    assert len(set(replayed("flip", "abc"))) == 2
    first, second, third, fourth = replayed("flip", "abc")
    assert (first, second) == (third, fourth)
