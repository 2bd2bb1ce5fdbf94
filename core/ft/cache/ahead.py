"""Keeps what the check decodes as a run will look for it, so that no image is decoded twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, islice

from ft.cache.decision import seen_once
from ft.cache.image_rows import about_decoded, image_name
from ft.cache.named_rows import NAME, Shelf
from ft.cache.rows import Shape, whole_size
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept
from ft.config.schema import Config
from ft.data.augmentation import resolve_augment
from ft.data.load import ImageData
from ft.data.readable import CHUNK, Ahead, Passed
from ft.data.transforms import eval_transform
from ft.extension.installed import Plugins
from ft.extension.records import Preprocessing
from ft.prefix.records import Tensors

_AT_ONCE = 4 * 10**6
"""Bytes of pixels that a thread makes at a time, or one image."""


def kept_ahead(
    store: FeatureStore,
    data: ImageData,
    preprocessing: Preprocessing,
    config: Config,
    only_head_trains: bool,
    plugins: Plugins,
) -> Ahead | None:
    """How the check is to keep the images of a run, as evaluation sees them; None where the run keeps none.

    Of training images, views may be made of these where they are drawn from nothing else. What has no room beside the
    features that are kept is not kept, and is decoded when the run needs it.
    """
    config, augmentation = resolve_augment(config, only_head_trains, plugins)
    if config.cache.promise == "off" or seen_once(config):
        return None
    transform = eval_transform(preprocessing)
    all_alike = augmentation.smallest_section is None
    items = data.items if all_alike else (*data.val, *data.test)
    shape = Shape((3, preprocessing.crop_size, preprocessing.crop_size), "uint8")
    return Ahead(
        names=frozenset(item.picture.name for item in items),
        transform=transform,
        range_known=config.images.range != "auto",
        at_once=max(1, min(CHUNK, _AT_ONCE // shape.row_bytes)),
        accepts=lambda count: store.has_room_for_images(whole_size([shape, NAME], count)),
        keep=partial(_keep, store, preprocessing, shape),
    )


def _keep(store: FeatureStore, preprocessing: Preprocessing, shape: Shape, passed: Iterator[Passed], most: int) -> int:
    rows: Iterator[tuple[bytes, Tensors]]
    rows = ((image_name(one.digest, one.facts, preprocessing.value_range), (one.pixels,)) for one in passed)
    kept, first = 0, next(rows, None)
    if first is not None:
        some = islice(chain([first], rows), most)
        with suppress(NotKept):  # there is no room after all: the run decodes what it needs
            kept = Shelf(store, about_decoded(preprocessing)).add_as_they_come([shape], most, some)
    for _ in passed:  # to be checked
        pass
    return kept
