"""Images that trained the runs before, which this one started from: what is measured on them says too much."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from ft.data.load import ImageData, Item
from ft.data.origin import Origin
from ft.text.counting import number_of


def trained_before(item: Item, data: ImageData, splits: Mapping[str, Set[str]]) -> bool:
    """Whether an image trained a run before, whose images were in these `splits`, by their sha256."""
    return "train" in splits.get(data.digests[item.picture.name], ())


def warn_of_trained(data: ImageData, origin: Origin) -> ImageData:
    """Return `data`, which is checked, with a warning where the data says itself that images validate, or test, which
    trained the run that this one starts from, or one before it."""
    said = []
    for part, items in data.measured.items():
        if known := sum(trained_before(item, data, origin.splits) for item in items):
            said.append(
                f"the data says itself that {known} of {number_of(len(items), 'image')} are of {part}, and they "
                f"trained {origin.folder}, or a run before it: figures on them are better than on new images"
            )
    return replace(data, warnings=(*data.warnings, *said))
