"""The signatures of images, by which copies are found: kept by the content of each image, or made by decoding it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import PIL
import torch
from torch import Tensor

from ft.cache.image_rows import image_names
from ft.cache.named_rows import Shelf, nothing_found
from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept
from ft.data.decoding import decode_image
from ft.data.image_failures import failure_of
from ft.data.load import ImageData, Item
from ft.data.pictures import content_digest
from ft.data.values import Range
from ft.insight.likeness import SIDE, signature
from ft.machine.display import Display

_ABOUT = {"format": 1, "promise": "signatures", "backbone": "any", "side": SIDE, "versions": [PIL.__version__]}
"""What decides a signature beside the image."""


def signatures_of(data: ImageData, value_range: Range | None, store: FeatureStore | None, display: Display) -> Tensor:
    """The signatures [N, SIDE, SIDE] of all images of `data`, whose digests are known.

    Those that the `store` has are not made again, and those that are made it gets, where there is one. An image that is
    gone, or is not what it was, has zeros, which are like nothing. Raises FtError where the machine fails.
    """
    items, names = data.items, image_names(data.items, data, value_range)
    shelf = None if store is None else Shelf(store, _ABOUT)
    found = nothing_found(len(items)) if shelf is None else shelf.find(names)
    signatures = torch.empty(len(items), SIDE, SIDE, dtype=torch.uint8)
    there = torch.nonzero(found.part >= 0).flatten()
    if len(there):
        (signatures[there],) = found.rows.take(there)
    missing = found.missing
    if missing:
        signatures[missing] = 0
        made = dict(zip(missing, _decoded([items[row] for row in missing], data, value_range, display), strict=True))
        read = {row: each for row, each in made.items() if each is not None}
        if read:
            signatures[list(read)] = torch.stack(list(read.values()))
        if read and shelf is not None:
            with suppress(NotKept):  # they are made again when they are needed again
                rows = iter([(signatures[list(read)],)])
                shelf.add(found, {row: names[row] for row in read}, [Shape((SIDE, SIDE), "uint8")], rows)
    return signatures


def _decoded(
    items: Sequence[Item], data: ImageData, value_range: Range | None, display: Display
) -> list[Tensor | None]:
    """The signatures of some images, which are read and decoded on all cores; None of one that is not what it was."""
    found: list[Tensor | None] = []
    pool = ThreadPoolExecutor()

    def look(item: Item) -> Tensor | None:
        try:
            content = item.picture.read()
            if content_digest(content) != data.digests[item.picture.name]:
                return None
            return signature(decode_image(content, value_range, least=2 * SIDE))
        except Exception as error:
            failure_of(error, item.picture.name)
            return None

    with display.progress("reading images", len(items), unit="images") as bar:
        try:
            for made in pool.map(look, items):
                found.append(made)
                bar.advance(len(found))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # so that Ctrl-C does not wait for files
    return found
