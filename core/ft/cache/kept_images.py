"""Decoded images, kept: the shallowest cut, from which any network under any freeze can be fed.

They are kept as bytes [N, 3, S, S], resized and cropped and, with views, augmented, but not normalised; so nothing of
them depends on the network but the geometry of its preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from ft.cache.image_rows import Part, about_decoded, image_parts, row_names
from ft.cache.image_source import Source, batches_of, bring_images, find_source
from ft.cache.named_rows import Shelf
from ft.cache.rows import Joined, Rows, Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept
from ft.data.batches import Batch
from ft.data.order import own_batches, spans
from ft.data.targets import targets_of
from ft.job import Job
from ft.machine.distributed import processes_here

_WRITTEN_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class KeptImages:
    """Decoded images in the order in which a Loader brings them, and like one to use."""

    pixels: Joined | Rows
    targets: torch.Tensor
    views: int
    batches: Callable[[int], list[list[int]]]

    def __len__(self) -> int:
        return len(self.batches(0))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` after the first `skip`."""
        first = epoch % self.views * len(self.targets)
        for batch in self.batches(epoch)[skip:]:
            rows = torch.tensor(batch)
            (pixels,) = self.pixels.take(first + rows)
            yield pixels, self.targets[rows], rows

    def close(self) -> None:
        """Nothing runs beside the loop."""


def keep_images(store: FeatureStore, part: Part, source: Source, rows: Sequence[int], job: Job, title: str) -> Source:
    """Keep the rows of a part that are not kept, of those asked for.

    Raises NotKept where that is not possible, and StopAsked when a signal asks to stop meanwhile; what was decoded
    until then is kept.
    """
    missing = [row for row in rows if not source.is_kept(row)]
    if not missing:
        return source
    side, names = job.preprocessing.crop_size, row_names(part, job)
    brought = bring_images(source, part, batches_of(missing, part, _WRITTEN_AT_ONCE), job, title)
    pixels = ((images,) for _, images in brought)
    shelf, some = Shelf(store, about_decoded(job.preprocessing)), {row: names[row] for row in missing}
    return replace(source, kept=shelf.add(source.kept, some, [Shape((3, side, side), "uint8")], pixels))


def get_images(store: FeatureStore, part: Part, job: Job, in_memory: bool = True) -> tuple[Joined | Rows, int]:
    """Return a part's images [rows, 3, S, S] in uint8, and how many had to be decoded.

    They are `in_memory` where they fit, else mapped from their files. Raises as `keep_images` does.
    """
    every = range(part.rows)
    source = find_source(store, part, job, every)
    decoded = sum(map(source.is_decoded, every))
    if not job.processes.alone:
        source, decoded = _kept_by_all(store, part, source, job)
    rows = keep_images(store, part, source, every, job, f"{part.name} images").kept.rows
    size = 3 * job.preprocessing.crop_size**2 * part.rows * processes_here()
    in_memory = in_memory and size <= job.config.cache.memory_gb * 1e9
    return rows.in_memory() if in_memory else rows, decoded


def _kept_by_all(store: FeatureStore, part: Part, source: Source, job: Job) -> tuple[Source, int]:
    """What a part's images are made of once each process has kept some of those that are missing, and how many had to
    be decoded."""
    processes, every = job.processes, range(part.rows)
    missing = sorted(set().union(*processes.gathered([row for row in every if not source.is_kept(row)])))
    batches = processes.share.of(batches_of(missing, part, _WRITTEN_AT_ONCE))
    own = [row for batch in batches for row in batch]
    processes.doing(f"keeping {part.name} images")
    with processes.all_or_none(NotKept):
        keep_images(store, part, source, own, job, f"{part.name} images")
    (decoded,) = processes.summed(sum(map(source.is_decoded, own)))
    return find_source(store, part, job, every), int(decoded)


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
    source = find_source(store, part, job, some)
    decoded = sum(map(source.is_decoded, some))
    if decoded and beside + 3 * job.preprocessing.crop_size**2 * count < store.limit:
        with suppress(NotKept):
            source = keep_images(store, part, source, some, job, "proof images")
    brought = bring_images(source, part, batches_of(some, part, count), job, "proof images")
    images = torch.cat([pixels for _, pixels in brought])
    rows = [order[number % len(order)] for number in range(count)]
    place = {row: number for number, row in enumerate(some)}
    return images[[place[row] for row in rows]], rows, decoded


def kept_training_batches(pixels: Joined | Rows, part: Part, job: Job) -> KeptImages:
    """Return what brings the decoded training images of a run in its batches, those that this process computes."""
    n, size, seed = len(part.items), job.config.training.batch_size, job.config.seed
    shuffle, share = job.data.shuffle, job.stepping.share
    return KeptImages(
        pixels, targets_of(part.items), part.views, lambda epoch: own_batches(n, size, seed, epoch, shuffle, share)
    )


def kept_validation_batches(pixels: Joined | Rows, part: Part, job: Job) -> KeptImages:
    """Return the same of the validation images, of whose batches each process has some."""
    every = spans(len(part.items), job.config.training.batch_size)
    own = [list(range(*span)) for span in job.stepping.share.of(every)]
    return KeptImages(pixels, targets_of(part.items), 1, lambda _: own)
