"""Brings a part's images from where they are: kept as rows, made of kept ones, or decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch

from ft.cache.image_rows import Part, about_decoded, image_names, row_names
from ft.cache.named_rows import Found, Shelf, nothing_found, places_of
from ft.cache.store import FeatureStore
from ft.data.batches import Batch
from ft.data.dataset import ImageDataset, view_replayed
from ft.data.load import ImageData, Item
from ft.data.loaders import Workers, load_batches
from ft.data.order import spans
from ft.data.targets import targets_of
from ft.data.transforms import eval_transform
from ft.extension.records import Preprocessing
from ft.job import Job


def find_images(store: FeatureStore, part: Part, job: Job, wanted: Sequence[int] | None = None) -> Found:
    """Return which of a part's rows, or the `wanted` of them, are kept as decoded images [3, S, S] in uint8."""
    return _find(store, row_names(part, job), job, wanted)


def _find(store: FeatureStore, names: Sequence[bytes], job: Job, wanted: Iterable[int] | None) -> Found:
    def damaged(path: Path) -> None:
        job.display.warn(f"images in {path} were damaged or are gone, and are decoded anew")

    return Shelf(store, about_decoded(job.preprocessing)).find(names, wanted, damaged)


@dataclass(frozen=True, eq=False)
class Source:
    """Where the rows of a part come from: they are kept; or their image is, as evaluation sees it, of which the view is
    made; or they are decoded."""

    kept: Found
    unvaried: Found

    def is_kept(self, row: int) -> bool:
        return bool(self.kept.part[row] >= 0)

    def is_decoded(self, row: int) -> bool:
        return not self.is_kept(row) and bool(self.unvaried.part[row] < 0)


def find_source(store: FeatureStore, part: Part, job: Job, wanted: Sequence[int]) -> Source:
    """Find what the `wanted` rows of a part are made of."""
    kept = find_images(store, part, job, wanted)
    absent = [row for row in wanted if kept.part[row] < 0]
    if not part.transform.varied or not absent:
        return Source(kept, nothing_found(part.rows))
    images = image_names(part.items, job.data, job.preprocessing.value_range)
    return Source(kept, _find(store, images * part.views, job, absent))


def unvaried_images(
    store: FeatureStore, items: Sequence[Item], data: ImageData, preprocessing: Preprocessing
) -> torch.Tensor:
    """Return a few images [n, 3, S, S] as evaluation sees them: kept ones, or decoded now, in this process."""
    found = Shelf(store, about_decoded(preprocessing)).find(image_names(items, data, preprocessing.value_range))
    dataset, missing = ImageDataset(items, eval_transform(preprocessing), seed=None), set(found.missing)
    return torch.stack(
        [dataset[0, row][0] if row in missing else found.rows.take([row])[0][0] for row in range(len(items))]
    )


def batches_of(rows: Sequence[int], part: Part, size: int) -> list[list[int]]:
    """Rows of a part, in their order, in batches of up to `size` that show one view each."""
    views = [list(view) for _, view in groupby(rows, key=lambda row: row // len(part.items))]
    return [view[start : start + size] for view in views for start in range(0, len(view), size)]


def bring_images(
    source: Source, part: Part, batches: Sequence[Sequence[int]], job: Job, title: str
) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
    """Yield (rows, images [n, 3, S, S] in uint8) for batches of a part's rows: what is not kept in any form is decoded.

    Raises FtError for an image that is not what it was when it was checked.
    """
    done, brought = 0, _brought(source, part, batches, job)
    with job.display.progress(title, sum(map(len, batches)), unit="images") as bar, closing(brought):
        for batch, pixels in zip(batches, brought, strict=True):
            yield batch, pixels
            done += len(batch)
            bar.advance(done)
            job.stop.check()


def _brought(
    source: Source, part: Part, batches: Sequence[Sequence[int]], job: Job
) -> Generator[torch.Tensor, None, None]:
    fresh = [[row for row in batch if source.is_decoded(row)] for batch in batches]
    with closing(_decoded_batches(part, [some for some in fresh if some], job)) as decoded:
        for batch, some in zip(batches, fresh, strict=True):
            yield _together(source, part, batch, some, next(decoded) if some else None, job)


class BroughtImages:
    """The images of a part in batches, each once, like a Loader to use: what is not kept in any form is decoded."""

    def __init__(self, store: FeatureStore, part: Part, job: Job) -> None:
        self._source, self._part, self._job = find_source(store, part, job, range(part.rows)), part, job
        self._targets = targets_of(part.items)
        self._batches = [range(*span) for span in spans(part.rows, job.batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches, which are the same in every `epoch`."""
        with closing(_brought(self._source, self._part, self._batches, self._job)) as brought:
            for batch, pixels in zip(self._batches, brought, strict=True):
                rows = torch.tensor(batch)
                yield pixels, self._targets[rows], rows


def _together(
    source: Source, part: Part, batch: Sequence[int], fresh: list[int], decoded: torch.Tensor | None, job: Job
) -> torch.Tensor:
    """The images of a batch, of which the `fresh` ones are `decoded`."""
    order, pixels = fresh, [] if decoded is None else [decoded]
    kept = [row for row in batch if source.is_kept(row)]
    if kept:
        order, pixels = [*order, *kept], [*pixels, *source.kept.rows.take(kept)]
    if len(order) < len(batch):
        varied = [row for row in batch if not source.is_kept(row) and not source.is_decoded(row)]
        order, pixels = [*order, *varied], [*pixels, _varied(source, part, varied, job)]
    if len(pixels) == 1:
        return pixels[0]
    places = places_of(order)
    return torch.cat(pixels)[[places[row] for row in batch]]


def _varied(source: Source, part: Part, rows: Sequence[int], job: Job) -> torch.Tensor:
    """The views that are made of images as evaluation sees them."""
    views = []
    for row, image in zip(rows, *source.unvaried.rows.take(rows), strict=True):
        view, index = divmod(row, len(part.items))
        digest = job.data.digests[part.items[index].picture.name]
        with view_replayed(part.transform, job.config.seed, view, digest) as made:
            views.append(made.vary(image))
    return torch.stack(views)


def _decoded_batches(part: Part, batches: Sequence[Sequence[int]], job: Job) -> Generator[torch.Tensor, None, None]:
    """Yield the images of batches of a part's rows, decoded now."""
    config, count = job.config, len(part.items)
    by_view: dict[int, list[list[int]]] = {}
    for batch in batches:
        by_view.setdefault(batch[0] // count, []).append([row % count for row in batch])
    if not by_view:
        return
    dataset = ImageDataset(part.items, part.transform, config.seed, part.views, job.data.digests)
    loader = load_batches(dataset, by_view, Workers(job.workers, job.machine.device), job.stop)
    with closing(loader):
        for view in by_view:
            for pixels, _, _ in loader.epoch(view):
                yield pixels
