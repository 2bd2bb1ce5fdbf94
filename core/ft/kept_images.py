"""Decoded images, kept: the shallowest cut, from which any network under any freeze can be fed.

They are kept as bytes [N, 3, S, S], resized and cropped and, with views, augmented, but not normalised; so nothing of
them depends on the network but the geometry of its preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import PIL
import torch
import torchvision

from ft.data import Item
from ft.feature_store import FeatureStore, NotKept
from ft.images import ImageDataset, Transform, eval_transform, train_transform
from ft.job import Job
from ft.loaders import Batch, epoch_batches, make_loader, spans
from ft.rows import Rows, Shape

STORE_FORMAT = 8
_WRITTEN_AT_ONCE = 32


@dataclass(frozen=True)
class Part:
    """Images that are one entry of the store, row view * N + image; `random` says what their views follow from."""

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

    pixels: Rows
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
    drawn = {} if augment == "none" else {"augment": augment, "views": views, "seed": job.config.seed}
    return train_transform(job.preprocessing, augment), views, drawn


def about_images(part: Part, job: Job) -> dict[str, Any]:
    """Everything that decides the bytes of a part's images."""
    digests = "".join(job.data.digests[item.picture.name] for item in part.items)
    return {
        "format": STORE_FORMAT,
        "versions": [torch.__version__, torchvision.__version__, PIL.__version__],
        "preprocessing": json.loads(json.dumps(asdict(job.preprocessing))),
        "images": hashlib.sha256(digests.encode()).hexdigest(),
        "rows": part.rows,
        **part.random,
    }


def key_of(about: Mapping[str, Any]) -> str:
    """The name of the store's entry whose values follow from `about`."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def find_images(store: FeatureStore, part: Part, job: Job) -> Rows | None:
    """Return a part's decoded images [rows, 3, S, S] in uint8, mapped from their file, if the store has them."""
    entry = store.find(key_of(_about_decoded(part, job)))
    if entry is None:
        return None
    found = store.read(entry, in_memory=False)
    if found is None:
        job.display.warn(f"images in {entry.path} were damaged or are gone, and are decoded anew")
    return found


def get_images(store: FeatureStore, part: Part, job: Job, in_memory: bool = True) -> tuple[Rows, int]:
    """Return a part's images [rows, 3, S, S] in uint8, and how many had to be decoded.

    They are `in_memory` where they fit, else mapped from their file.
    Raises StopAsked when a signal asks to stop meanwhile; nothing half done is then left behind.
    """
    kept, decoded = find_images(store, part, job), 0
    if kept is None:
        about, side = _about_decoded(part, job), job.preprocessing.crop_size
        with store.write(key_of(about), [Shape((3, side, side), "uint8")], part.rows, about) as writer:
            for row, pixels in decoded_batches(part, _WRITTEN_AT_ONCE, job, f"{part.name} images"):
                writer.put(row, (pixels,))
        kept, decoded = writer.written, part.rows
    in_memory = in_memory and kept.tensors[0].nbytes <= job.config.cache.memory_gb * 1e9
    return kept.in_memory() if in_memory else kept, decoded


def some_training_images(store: FeatureStore, job: Job, count: int, beside: int) -> tuple[torch.Tensor, list[int], int]:
    """Return `count` training images as they train, chosen at random but always the same, some twice if need be.

    Then, which rows of the training images they are (none where that cannot be told, because views are random), and
    how many had to be decoded. They come out of what is kept, or are kept for the next run where there is room for them
    `beside` as many bytes as a run needs.
    """
    whole, _ = image_parts(job)
    order = torch.randperm(len(whole.items), generator=torch.Generator().manual_seed(0)).tolist()
    rows = [order[i % len(order)] for i in range(count)]
    some = replace(whole, name="proof", items=[whole.items[row] for row in rows], views=1)
    told = [] if whole.random else rows
    if (kept := find_images(store, some, job)) is not None:
        return kept.tensors[0], told, 0
    if (kept := find_images(store, whole, job)) is not None:
        return kept.take(rows)[0], rows, 0
    with suppress(NotKept):
        if beside + 3 * job.preprocessing.crop_size**2 * count < store.limit:
            kept, decoded = get_images(store, some, job)
            return kept.tensors[0], told, decoded
    batches = decoded_batches(some, count, job, "proof images")
    return torch.cat([pixels for _, pixels in batches]), told, count


def kept_batches(pixels: Rows, part: Part, job: Job, shuffle: bool) -> KeptImages:
    """Return what brings a part's decoded images in a run's batches."""
    size, seed = job.config.training.batch_size, job.config.seed
    labels = torch.tensor([item.label for item in part.items])
    return KeptImages(pixels, labels, part.views, lambda epoch: epoch_batches(len(labels), size, seed, epoch, shuffle))


def kept_pixels(kept: Rows, part: Part, batch_size: int, job: Job, title: str) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, images [n, 3, S, S] in uint8) for all rows of a part whose images are kept."""
    count = len(part.items)
    with job.display.progress(title, part.rows) as bar:
        for first in range(0, part.rows, count):
            for start, end in spans(count, batch_size):
                (pixels,) = kept.take(torch.arange(first + start, first + end))
                yield first + start, pixels
                bar.advance(first + end)
                job.stop.check()


def decoded_batches(part: Part, batch_size: int, job: Job, title: str) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the same, decoded now. Raises FtError for an image that is not what it was when it was checked."""
    config, count = job.config, len(part.items)
    dataset = ImageDataset(part.items, part.transform, config.seed, digests=job.data.digests)
    loader = make_loader(dataset, batch_size, config.machine.workers, job.machine.device, shuffle=False, stop=job.stop)
    with job.display.progress(title, part.rows) as bar, closing(loader):
        for view in range(part.views):
            for pixels, _, indices in loader.epoch(view):
                row = view * count + int(indices[0])
                yield row, pixels
                bar.advance(row + len(pixels))
                job.stop.check()


def _about_decoded(part: Part, job: Job) -> dict[str, Any]:
    return {**about_images(part, job), "promise": "decoded images", "backbone": "any"}
