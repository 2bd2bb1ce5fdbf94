"""Images as a loader process makes them: decoded, transformed, with the random numbers that their place gives them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from ft.data.load import Item
from ft.data.transforms import Transform, read_image
from ft.data.views import Views
from ft.machine.randomness import seeded


class ImageDataset(Dataset[tuple[Tensor, Any, int]]):
    """Images by (epoch, index): a transformed image [3, S, S] in uint8, its target, and the index.

    What is random in the transform is a function of (seed, epoch, index), whichever process computes it, and generators
    are as before afterwards; without a seed it is to draw nothing. With `views`, epochs repeat the first so many, which
    follow from (seed, view, image), wherever the image is. Where there are `digests`, by the names of pictures, an
    image that has another is refused; `views` need them.
    """

    def __init__(
        self,
        items: Sequence[Item],
        transform: Transform | Views,
        seed: int | None = 0,
        views: int | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self.items, self.transform, self.seed, self.views = tuple(items), transform, seed, views
        self.digests = digests or {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Any, int]:
        epoch, index = key
        item = self.items[index]
        image = read_image(
            item.picture, self.digests.get(item.picture.name), self.transform.value_range, self.transform.least
        )
        if self.seed is None:
            return self.transform(image), item.target, index
        if self.views is not None and isinstance(self.transform, Transform):
            view, digest = epoch % self.views, self.digests[item.picture.name]
            with view_replayed(self.transform, self.seed, view, digest) as made:
                return made(image), item.target, index
        with view_drawn(self.seed, epoch, index):
            return self.transform(image), item.target, index


def view_drawn(seed: int, epoch: int, index: int) -> AbstractContextManager[None]:
    """Inside, what is drawn is what the view of the training image `index` in this epoch follows from."""
    return seeded(_seed(seed, epoch, index))


@contextmanager
def view_replayed(transform: Transform, seed: int, view: int, digest: str) -> Iterator[Transform]:
    """Inside, the transform that this gives makes the `view` of the image whose content has this sha256: the same in
    every split of the images, and wherever the image lies among them."""
    image = int(digest[:16], 16)
    with seeded(_seed(seed, view, image)):
        yield transform.replaying(_seed(seed, image), view)


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.blake2b(struct.pack(f"<{len(parts)}Q", *parts), digest_size=8).digest(), "little")
