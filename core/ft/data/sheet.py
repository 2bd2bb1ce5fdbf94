"""A few training images as the network sees them: as it is evaluated on them, and as augmentation varies them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from torch import Tensor

from ft.data.augmentation import ChosenAugmentation
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.transforms import eval_transform, train_transform
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.task.chosen import ChosenTask

ROWS = 8
"""Images on the sheet."""
VIEWS = 3
"""Views of each, those of the first epochs, beside the image as it is evaluated."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A training image by its place, the square [3, S, S] in uint8 that evaluation makes of it, and those that training
    made of it in the first epochs; none where training varies nothing."""

    place: int
    evaluated: Tensor
    trained: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Seeing:
    """How a run sees its training images: as they are prepared and varied, drawn from its `seed`, in so many `views`
    that repeat, or ever new ones."""

    preprocessing: Preprocessing
    augmentation: ChosenAugmentation
    seed: int
    views: int | None


def sheet(items: Sequence[Item], digests: Mapping[str, str], task: ChosenTask, how: Seeing) -> tuple[Seen, ...]:
    """A few of the training images, all of which are `items` with these `digests`: of each kind that the task tells
    apart, the commonest kinds first. Those that are gone, or changed, are passed over."""
    plain = ImageDataset(items, eval_transform(how.preprocessing), None, digests=digests)
    varied = ImageDataset(items, train_transform(how.preprocessing, how.augmentation), how.seed, how.views, digests)
    epochs = min(VIEWS, how.views or VIEWS) if how.augmentation.record.varies else 0
    found: list[Seen] = []
    for place in spread_over_kinds(items, digests, task):
        if len(found) == ROWS:
            break
        try:
            squares = tuple(varied[epoch, place][0] for epoch in range(epochs))
            found.append(Seen(place, plain[0, place][0], squares))
        except FtError:
            continue
    return tuple(found)


def spread_over_kinds(items: Sequence[Item], digests: Mapping[str, str], task: ChosenTask) -> list[int]:
    """The places of all `items`, of each kind one, then of each another: the commonest kind first, and in each those
    with the smallest digests, which is as good as at random."""
    kinds: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(task.strata([item.label for item in items])):
        kinds.setdefault(kind, []).append(place)
    ranked = sorted(kinds.values(), key=len, reverse=True)
    for places in ranked:
        places.sort(key=lambda place: digests[items[place].picture.name])
    return [place for place in chain.from_iterable(zip_longest(*ranked)) if place is not None]
