"""Signatures are made once of each content, and never kept of another."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from classified import image_data
from ft.cache.store import FeatureStore
from ft.data.load import ImageData, Item
from ft.data.pictures import Picture
from ft.insight.likeness import SIDE, signature
from ft.insight.signatures import signatures_of
from ft.machine.display import Display


def drawn(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=(40, 50, 3), dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


class Contents:
    """Images that are no files, whose contents may change, and how often each was opened."""

    def __init__(self, seeds: range) -> None:
        self.content = {f"{seed}": png(drawn(seed)) for seed in seeds}
        self.opened: list[str] = []

    def data(self) -> ImageData:
        def opener(name: str) -> Callable[[], bytes]:
            def opening() -> bytes:
                self.opened.append(name)
                return self.content[name]

            return opening

        items = [Item(Picture(name, open=opener(name)), 0) for name in self.content]
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in self.content.items()}
        return image_data(["cat"], train=items[:3], val=items[3:], digests=digests)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(10**9, tmp_path / "kept")


def test_what_was_decoded_once_is_kept_by_its_content(store: FeatureStore) -> None:
    some = Contents(range(5))
    first = signatures_of(some.data(), None, store, Display())
    expected = torch.stack([signature(drawn(seed).convert("RGB")) for seed in range(5)])
    assert torch.equal(first, expected)
    assert sorted(some.opened) == ["0", "1", "2", "3", "4"]

    more = Contents(range(2, 7))
    again = signatures_of(more.data(), None, store, Display())
    assert torch.equal(again[:3], expected[2:])
    assert sorted(more.opened) == ["5", "6"]


def test_without_a_store_they_are_made_each_time() -> None:
    some = Contents(range(4))
    one, other = (signatures_of(some.data(), None, None, Display()) for _ in range(2))
    assert torch.equal(one, other)
    assert len(some.opened) == 8


def test_an_image_that_is_gone_or_changed_is_like_nothing_and_is_not_kept(store: FeatureStore) -> None:
    some = Contents(range(5))
    data = some.data()
    some.content["1"], some.content["2"] = png(drawn(9)), b"no image"
    found = signatures_of(data, None, store, Display())
    assert torch.equal(found[1:3], torch.zeros(2, SIDE, SIDE, dtype=torch.uint8))
    assert found[[0, 3, 4]].float().std((1, 2)).min() > 0

    back = Contents(range(5))
    assert signatures_of(back.data(), None, store, Display())[1:3].float().std((1, 2)).min() > 0
    assert sorted(back.opened) == ["1", "2"]
