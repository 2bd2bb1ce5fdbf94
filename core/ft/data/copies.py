"""Images that are there twice: what copies among training, validation and test images, or labels, make of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ft.data.load import ImageData, Item
from ft.extension.tasks import label_text
from ft.text.counting import number_of


def warn_of_copies(data: ImageData) -> ImageData:
    """Return `data`, whose digests are known, with warnings of images with the same content that measure what they
    trained, or have two labels."""
    return replace(data, warnings=(*data.warnings, *_measured_twice(data), *_labelled_twice(data)))


def _measured_twice(data: ImageData) -> Iterator[str]:
    train = _by_digest(data.train, data)
    chosen_by = {**_by_digest(data.val, data), **train}
    for split, items, before, those in (
        ("val", data.val, train, "training"),
        ("test", data.test, chosen_by, "training or validation"),
    ):
        copies = [(item, before[digest]) for item in items if (digest := data.digests[item.picture.name]) in before]
        if copies:
            is_copy = "is a copy" if len(copies) == 1 else "are copies"
            copy, original = (item.picture.name for item in copies[0])
            yield (
                f"{len(copies)} of {number_of(len(items), f'{split} image')} {is_copy} of {those} images, as {copy} of "
                f"{original}: "
                "figures come out too good; ft data check lists them"
            )


def _labelled_twice(data: ImageData) -> Iterator[str]:
    first: dict[str, Item] = {}
    pairs = [
        (before, item)
        for item in data.items
        if (before := first.setdefault(data.digests[item.picture.name], item)).label != item.label
    ]
    if pairs:
        told = " and ".join(f"{item.picture.name} ('{label_text(item.label)}')" for item in pairs[0])
        copies = number_of(len(pairs), "image is a copy", "images are copies")
        yield f"{copies} of an image with another label, as {told}; one of the labels is wrong"


def _by_digest(items: Sequence[Item], data: ImageData) -> Mapping[str, Item]:
    return {data.digests[item.picture.name]: item for item in reversed(items)}
