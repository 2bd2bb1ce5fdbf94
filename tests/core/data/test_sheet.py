"""A few training images as the network sees them, of every kind, in the views that training made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classified import image_data
from ft import Preprocessing
from ft.config.component import ComponentConfig
from ft.data.augmentation import choose_augmentation
from ft.data.dataset import ImageDataset
from ft.data.load import ImageData, Item
from ft.data.pictures import Picture
from ft.data.sheet import ROWS, Seeing, Seen, sheet, spread_over_kinds
from ft.data.transforms import eval_transform, train_transform
from ft.extension.installed import load_plugins

SMALL = Preprocessing(crop_size=16, resize_size=20)


def made(folder: Path, targets: list[int]) -> ImageData:
    items, digests = [], {}
    for number, target in enumerate(targets):
        drawn = np.random.default_rng(number).integers(256, size=(24, 30, 3), dtype=np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(drawn).save(path)
        items.append(Item(Picture.at(path), target))
        digests[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return image_data(["a", "b", "c"], train=items, digests=digests)


def seeing(augment: str, views: int | None = None) -> Seeing:
    return Seeing(SMALL, choose_augmentation(ComponentConfig(use=augment), load_plugins()), 7, views)


def rows(data: ImageData, how: Seeing) -> tuple[Seen, ...]:
    return sheet(data.train, data.digests, data.task, how)


def test_views_are_those_of_the_first_epochs(tmp_path: Path) -> None:
    data, how = made(tmp_path, [0, 1, 1]), seeing("standard")
    plain = ImageDataset(data.train, eval_transform(SMALL), None)
    trained = ImageDataset(data.train, train_transform(SMALL, how.augmentation), 7)
    found = rows(data, how)
    assert {row.place for row in found} == {0, 1, 2}
    for row in found:
        assert torch.equal(row.evaluated, plain[0, row.place][0])
        assert len(row.trained) == 3
        for epoch, square in enumerate(row.trained):
            assert torch.equal(square, trained[epoch, row.place][0])
    assert [len(row.trained) for row in rows(data, seeing("standard", views=2))] == [2, 2, 2]
    assert [row.trained for row in rows(data, seeing("none"))] == [(), (), ()]


def test_every_kind_comes_before_one_comes_twice_and_the_commonest_first(tmp_path: Path) -> None:
    data = made(tmp_path, [0] * 3 + [1] * 20 + [2])
    order = [data.train[place].target for place in spread_over_kinds(data.train, data.digests, data.task)]
    assert order[:6] == [1, 0, 2, 1, 0, 1]
    assert len(order) == 24
    assert len(rows(data, seeing("none"))) == ROWS


@pytest.mark.parametrize("gone", [True, False])
def test_an_image_that_is_gone_or_changed_is_passed_over(tmp_path: Path, gone: bool) -> None:
    data = made(tmp_path, [0, 1, 2])
    path = data.train[1].picture.path
    assert path is not None
    path.unlink() if gone else Image.new("RGB", (20, 20)).save(path)
    assert {row.place for row in rows(data, seeing("none"))} == {0, 2}
