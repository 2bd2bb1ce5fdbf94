"""Decoded images, kept: the shallowest cut, from which any network under any freeze can be fed.

They are kept as bytes [N, 3, S, S], resized and cropped and, with views, augmented, but not normalised; so nothing of
them depends on the network but the geometry of its preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import PIL
import torch
import torchvision

from ft.cache.named_rows import Found, add_rows, find_rows, places_of
from ft.cache.rows import Joined, Rows, Shape
from ft.cache.store import FeatureStore, NotKept
from ft.data.batches import Batch
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.loaders import load_batches
from ft.data.order import epoch_batches
from ft.data.transforms import Transform, eval_transform, train_transform
from ft.extension.records import Preprocessing
from ft.job import Job

STORE_FORMAT = 9
_WRITTEN_AT_ONCE = 32


@dataclass(frozen=True)
class Part:
    """Images that are looked for together, row view * N + image; `random` says what their views follow from."""

    name: str
    items: Sequence[Item]
    transform: Transform
    views: int
    random: Mapping[str, Any]

    @property
    def rows(self) -> int:
        return len(self.items) * self.views


@dataclass(frozen=True, eq=False)
class KeptImages:
    """Decoded images in the order in which a Loader brings them, and like one to use."""

    pixels: Joined | Rows
    labels: torch.Tensor
    views: int
    batches: Callable[[int], list[list[int]]]

    def __len__(self) -> int:
        return len(self.batches(0))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` after the first `skip`."""
        first = epoch % self.views * len(self.labels)
        for batch in self.batches(epoch)[skip:]:
            rows = torch.tensor(batch)
            (pixels,) = self.pixels.take(first + rows)
            yield pixels, self.labels[rows], rows

    def close(self) -> None:
        """Nothing runs beside the loop."""


def image_parts(job: Job) -> tuple[Part, Part]:
    """Return the training images, in all views that a run shows, and the validation images."""
    return (
        Part("training", job.data.train, *_training_views(job)),
        measured_part("validation", job.data.val, job),
    )


def measured_part(name: str, items: Sequence[Item], job: Job) -> Part:
    """Return images as a model is measured on them: without augmentation, each once."""
    return Part(name, items, eval_transform(job.preprocessing), 1, {})


def _training_views(job: Job) -> tuple[Transform, int, Mapping[str, Any]]:
    augment, views = job.config.images.augment, job.config.images.views or 1
    drawn = {} if augment == "none" else {"augment": augment, "seed": job.config.seed}
    return train_transform(job.preprocessing, augment), views, drawn


def about_images(preprocessing: Preprocessing) -> dict[str, Any]:
    """Everything that decides the bytes of an image's row, but for what its name stands for."""
    return {
        "format": STORE_FORMAT,
        "versions": [torch.__version__, torchvision.__version__, PIL.__version__],
        "preprocessing": json.loads(json.dumps(asdict(preprocessing))),
    }


def about_decoded(preprocessing: Preprocessing) -> dict[str, Any]:
    """The same of decoded images."""
    return {**about_images(preprocessing), "promise": "decoded images", "backbone": "any"}


def row_names(part: Part, job: Job) -> list[bytes]:
    """What each row of a part is known by: the digest of its image and, where its view is random, what that is drawn
    from."""
    digests = [bytes.fromhex(job.data.digests[item.picture.name]) for item in part.items]
    if not part.random:
        return digests * part.views
    drawn = json.dumps(part.random, sort_keys=True)
    return [
        hashlib.sha256(digest + f"{drawn} {index} {view}".encode()).digest()
        for view in range(part.views)
        for index, digest in enumerate(digests)
    ]


def find_images(store: FeatureStore, part: Part, job: Job, wanted: Sequence[int] | None = None) -> Found:
    """Return which of a part's rows, or the `wanted` of them, are kept as decoded images [3, S, S] in uint8."""

    def damaged(path: Path) -> None:
        job.display.warn(f"images in {path} were damaged or are gone, and are decoded anew")

    return find_rows(store, about_decoded(job.preprocessing), row_names(part, job), damaged, wanted)


def keep_images(store: FeatureStore, part: Part, found: Found, rows: Sequence[int], job: Job, title: str) -> Found:
    """Decode the rows of a part that are not `found`, of those asked for, and keep them.

    Raises NotKept where that is not possible, and StopAsked when a signal asks to stop meanwhile; nothing half done is
    then left behind.
    """
    absent = set(found.missing)
    missing = [row for row in rows if row in absent]
    if not missing:
        return found
    about, side, names = about_decoded(job.preprocessing), job.preprocessing.crop_size, row_names(part, job)
    brought = bring_images(found, part, batches_of(missing, part, _WRITTEN_AT_ONCE), job, title)
    pixels = ((images,) for _, images in brought)
    some = [names[row] for row in missing]
    written, seconds = add_rows(store, about, [Shape((3, side, side), "uint8")], some, pixels, {})
    return found.plus(written, places_of(missing), seconds)


def get_images(store: FeatureStore, part: Part, job: Job, in_memory: bool = True) -> tuple[Joined | Rows, int]:
    """Return a part's images [rows, 3, S, S] in uint8, and how many had to be decoded.

    They are `in_memory` where they fit, else mapped from their files. Raises as `keep_images` does.
    """
    found = find_images(store, part, job)
    decoded = len(found.missing)
    rows = keep_images(store, part, found, range(part.rows), job, f"{part.name} images").rows
    in_memory = in_memory and 3 * job.preprocessing.crop_size**2 * part.rows <= job.config.cache.memory_gb * 1e9
    return rows.in_memory() if in_memory else rows, decoded


def some_training_images(store: FeatureStore, job: Job, count: int, beside: int) -> tuple[torch.Tensor, list[int], int]:
    """Return `count` training images as they train in the first epoch, some twice if need be: those with the smallest
    digests, which is as good as at random, and the same ones, or nearly, in a set that grew.

    Then, which rows of the training images they are, and how many had to be decoded. They come out of what is kept, or
    are kept for the next run where there is room for them `beside` as many bytes as a run needs.
    """
    part, _ = image_parts(job)
    names = row_names(part, job)
    order = sorted(range(len(part.items)), key=names.__getitem__)
    some = sorted(order[:count])
    found = find_images(store, part, job, some)
    decoded = len(set(some).intersection(found.missing))
    if decoded and beside + 3 * job.preprocessing.crop_size**2 * count < store.limit:
        with suppress(NotKept):
            found = keep_images(store, part, found, some, job, "proof images")
    brought = bring_images(found, part, batches_of(some, part, count), job, "proof images")
    images = torch.cat([pixels for _, pixels in brought])
    rows = [order[number % len(order)] for number in range(count)]
    place = {row: number for number, row in enumerate(some)}
    return images[[place[row] for row in rows]], rows, decoded


def batches_of(rows: Sequence[int], part: Part, size: int) -> list[list[int]]:
    """Rows of a part, in their order, in batches of up to `size` that show one view each."""
    views = [list(view) for _, view in groupby(rows, key=lambda row: row // len(part.items))]
    return [view[start : start + size] for view in views for start in range(0, len(view), size)]


def bring_images(
    found: Found, part: Part, batches: Sequence[Sequence[int]], job: Job, title: str
) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
    """Yield (rows, images [n, 3, S, S] in uint8) for batches of a part's rows: what is not found is decoded.

    Raises FtError for an image that is not what it was when it was checked.
    """
    absent, rows = set(found.missing), found.rows
    missing = [[row for row in batch if row in absent] for batch in batches]
    done, decoded = 0, _decoded_batches(part, [batch for batch in missing if batch], job)
    with job.display.progress(title, sum(map(len, batches))) as bar, closing(decoded):
        for batch, fresh in zip(batches, missing, strict=True):
            pixels = next(decoded) if fresh else rows.take(batch)[0]
            yield batch, pixels if len(pixels) == len(batch) else _merged(rows, pixels, batch, absent)
            done += len(batch)
            bar.advance(done)
            job.stop.check()


def _merged(kept: Joined | Rows, fresh: torch.Tensor, batch: Sequence[int], absent: Collection[int]) -> torch.Tensor:
    """The images of a batch, of which some were kept and the `absent` ones are `fresh`."""
    is_fresh = torch.tensor([row in absent for row in batch])
    images = fresh.new_empty(len(batch), *fresh.shape[1:])
    images[is_fresh] = fresh
    (images[~is_fresh],) = kept.take([row for row in batch if row not in absent])
    return images


def _decoded_batches(part: Part, batches: Sequence[Sequence[int]], job: Job) -> Generator[torch.Tensor, None, None]:
    """Yield the images of batches of a part's rows, decoded now."""
    config, count = job.config, len(part.items)
    by_view: dict[int, list[list[int]]] = {}
    for batch in batches:
        by_view.setdefault(batch[0] // count, []).append([row % count for row in batch])
    if not by_view:
        return
    dataset = ImageDataset(part.items, part.transform, config.seed, digests=job.data.digests)
    loader = load_batches(dataset, by_view, config.machine.workers, job.machine.device, job.stop)
    with closing(loader):
        for view in by_view:
            for pixels, _, _ in loader.epoch(view):
                yield pixels


def kept_batches(pixels: Joined | Rows, part: Part, job: Job, shuffle: bool) -> KeptImages:
    """Return what brings a part's decoded images in a run's batches."""
    size, seed = job.config.training.batch_size, job.config.seed
    labels = torch.tensor([item.label for item in part.items])
    return KeptImages(pixels, labels, part.views, lambda epoch: epoch_batches(len(labels), size, seed, epoch, shuffle))
