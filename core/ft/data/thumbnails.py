"""Small pictures of images, for pages: decoded as for training, and not taken for the image where that has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from ft.data.decoding import decode_image
from ft.data.image_failures import failure_of
from ft.data.load import Item
from ft.data.pictures import content_digest
from ft.data.values import Range
from ft.pages.pictures import SIDE, thumbnail as as_jpeg

CHANGED = "changed since"


def thumbnail(item: Item, digest: str, value_range: Range | None, side: int = SIDE) -> bytes | str:
    """An image as JPEG, with so many pixels along its longer `side` at most; or in a few words why there is none, as
    where it is gone, or has not the sha256 `digest` any more.

    Raises FtError where the machine fails, which tells nothing of the image.
    """
    try:
        content = item.picture.read()
        if digest and content_digest(content) != digest:
            return CHANGED
        return as_jpeg(decode_image(content, value_range, least=2 * side), side)
    except Exception as error:  # whatever reading it raises
        return failure_of(error, item.picture.name)


def thumbnails(
    places: Sequence[int],
    items: Sequence[Item],
    digests: Mapping[str, str],
    value_range: Range | None,
    side: int = SIDE,
) -> dict[int, bytes | str]:
    """The thumbnails of the images at these `places` among `items`, read and decoded on all cores."""

    def make(place: int) -> bytes | str:
        item = items[place]
        return thumbnail(item, digests.get(item.picture.name, ""), value_range, side)

    pool = ThreadPoolExecutor()
    try:
        return dict(zip(places, pool.map(make, places), strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # so that Ctrl-C does not wait for files
