"""Gets the features of the frozen prefix: found in the store, or computed once for every image and view."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ft.cache.image_rows import Part, about_images, image_parts, row_names
from ft.cache.image_source import Source, batches_of, bring_images, find_source
from ft.cache.kept_images import get_images, keep_images
from ft.cache.named_rows import Found, Shelf, nothing_found
from ft.cache.proof import NotProved, Proved, Trial
from ft.cache.reuse import find_shallower, made_of_noise
from ft.cache.rows import Joined, Rows, Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept
from ft.data.order import full_batch, spans
from ft.data.transforms import network_input
from ft.job import Job
from ft.machine.devices import processor
from ft.machine.distributed import processes_here
from ft.prefix.digest import prefix_digest
from ft.prefix.fold import Promise, as_kept, prepare_prefix
from ft.prefix.probe import run_padded
from ft.prefix.records import CutTensor, Tensors
from ft.text.redaction import shown

PASS_BATCH = 32
"""Images a batch of the feature pass where the promise does not fix it."""


@dataclass(frozen=True, eq=False)
class Features:
    """What crosses the cut, for every training image and view (row view * N + image) and every validation image.

    `pixels` are the training images where the features of a short batch are not these and have to be computed for it;
    None where not, or where there is no room for them. `computed` and `decoded` count the images (and views) that this
    took, `pass_seconds` how long, now or earlier.
    """

    train: Joined | Rows
    val: Joined | Rows
    pixels: Joined | Rows | None
    computed: int
    decoded: int
    pass_seconds: float


@dataclass(frozen=True, eq=False)
class _Pass:
    """How the features of a part are computed: in batches of `size`, the last of which is filled up.

    So it is proved that an image's features are the same beside whatever others. Where that is not so of all batches of
    the plain loop, `odd` are those that are computed as they are: the short one of its validation.
    """

    part: Part
    proved: Proved
    promise: Promise
    size: int
    odd: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class _Had:
    """The features of one part, how many seconds their pass took, and for how many images it ran just now."""

    rows: Joined | Rows
    seconds: float
    computed: int = 0
    decoded: int = 0


def get_features(proved: Proved, promise: Promise, store: FeatureStore, job: Job) -> Features:
    """Return the features of all training and validation images, computing those that the store does not have.

    Raises NotProved when they are not what the proof computed, and StopAsked when a signal asks to stop meanwhile; what
    was computed until then is kept.
    """
    config, machine = job.config, job.machine
    passes = [_pass_over(part, proved, promise, job) for part in image_parts(job)]
    about: dict[str, Any] = {
        **about_images(job.preprocessing),
        "prefix": prefix_digest(proved.halves.prefix),
        "computes": made_of_noise(proved.halves.prefix, promise, job),
        "promise": promise,
        "kept": [tensor.dtype for tensor in proved.cut.tensors],
        "channels_last": machine.channels_last,
        "device": torch.device(machine.device).type,
        "threads": torch.get_num_threads(),
        "processor": processor(machine.device),
        "batch_size": passes[0].size,
    }
    shelf = Shelf(store, about)
    pixels, decoded = (None, 0) if proved.any_size else _pixels(store, passes, job)
    features = proved.cut.bytes * sum(one.part.rows for one in passes)
    in_memory = features * processes_here() <= config.cache.memory_gb * 1e9
    got, doubtful = [], False
    for one in passes:
        trial = proved.trial if one.part.name == "training" else None
        found = _kept(shelf, one, job)
        if trial is not None and found.parts and not _those_found(trial, found).agrees(found.rows):
            # Something decides the values that nothing here knows of; what has no trial is not to be believed then.
            job.display.warn("kept features are not what the network computes, and are computed anew")
            shelf.clear()
            found, doubtful = nothing_found(one.part.rows), True
        if not found.parts and one.part.name == "training" and (why := _why_anew(shelf, one, job)):
            job.display.say(why)
        had = _completed(shelf, found, doubtful, one, job)
        if trial is not None and not trial.agrees(had.rows):
            shelf.clear()
            raise NotProved("what an image gives differs from one pass to another")
        got.append(replace(had, rows=had.rows.in_memory()) if in_memory else had)
    computed, decoded = sum(had.computed for had in got), decoded + sum(had.decoded for had in got)
    train, val = (had.rows for had in got)
    return Features(train, val, pixels, computed, decoded, sum(had.seconds for had in got))


def _pass_over(part: Part, proved: Proved, promise: Promise, job: Job) -> _Pass:
    if promise != "exact":
        return _Pass(part, proved, promise, PASS_BATCH)
    asked = job.config.training.batch_size
    size = full_batch(len(job.data.train), asked)
    # Training batches are always full, since another epoch's short batch has other images.
    batches = spans(len(part.items), asked) if part.name == "validation" else []
    return _Pass(part, proved, promise, size, tuple(span for span in batches if span[1] - span[0] != size))


def _names(one: _Pass, job: Job) -> list[bytes]:
    """What each row of features is known by: as its image is, or in an odd batch by its place and all images of it."""
    names = row_names(one.part, job)
    for start, end in one.odd:
        batch = hashlib.sha256(b"".join(names[start:end])).digest()
        names[start:end] = [hashlib.sha256(batch + f"{place}".encode()).digest() for place in range(end - start)]
    return names


def _batches(one: _Pass, missing: Sequence[int]) -> list[tuple[list[int], int]]:
    """The rows to compute, in batches, and how many images each batch is filled up to."""
    odd = [range(start, end) for start, end in one.odd]
    apart, wanted = {row for batch in odd for row in batch}, set(missing)
    full = batches_of([row for row in missing if row not in apart], one.part, one.size)
    return [
        *((batch, one.size) for batch in full),
        *((list(batch), len(batch)) for batch in odd if not wanted.isdisjoint(batch)),
    ]


def _pixels(store: FeatureStore, passes: Sequence[_Pass], job: Job) -> tuple[Joined | Rows | None, int]:
    """The training images, for short batches, and how many had to be decoded; None where there is no room for both."""
    part, features = passes[0].part, passes[0].proved.cut.bytes * sum(one.part.rows for one in passes)
    if 3 * job.preprocessing.crop_size**2 * part.rows + features > job.config.cache.disk_gb * 1e9:
        return None, 0
    try:
        return get_images(store, part, job, in_memory=False)  # few of them are read, and memory is for features
    except NotKept:
        return None, 0


def _kept(shelf: Shelf, one: _Pass, job: Job) -> Found:
    """What the store has of a part."""

    def damaged(path: Path) -> None:
        job.display.warn(f"features in {path} were damaged or are gone, and are computed anew")

    return shelf.find(_names(one, job), damaged=damaged)


def _why_anew(shelf: Shelf, one: _Pass, job: Job) -> str:
    """Why features that were kept of these images are of no use; "" where there are none."""
    sizes = shelf.other_values("batch_size", _names(one, job)) if one.promise == "exact" else []
    if not sizes:
        return ""
    fewer = one.size < job.config.training.batch_size
    return (
        f"features that were kept of batches of {' and '.join(map(str, sizes))} images are computed anew: 'exact' has "
        f"the bits of batches of {one.size}" + (", since there are so few training images" if fewer else "")
    )


def _those_found(trial: Trial, found: Found) -> Trial:
    """The trial of the rows that are there."""
    there = [number for number, row in enumerate(trial.rows) if found.part[row] >= 0]
    features = tuple(tensor[there] for tensor in trial.features)
    return replace(trial, rows=[trial.rows[number] for number in there], features=features)


def _completed(shelf: Shelf, found: Found, doubtful: bool, one: _Pass, job: Job) -> _Had:
    """Compute the features that are not found, and add them to the store: from images where others are `doubtful`. Of
    several processes each computes some batches, and finds those of the others once all have."""
    missing = sorted(set().union(*job.processes.gathered(found.missing)))
    if not missing:
        return _Had(found.rows, found.seconds)
    batches = job.processes.share.of(_batches(one, missing))
    job.processes.doing(f"computing {one.part.name} features")
    with job.processes.all_or_none(NotKept):
        had = _computed_and_kept(shelf, found, doubtful, one, batches, job) if batches else _Had(found.rows, 0.0)
    if job.processes.alone:
        return had
    computed, decoded = job.processes.summed(had.computed, had.decoded)
    found = _kept(shelf, one, job)
    if found.missing:
        raise NotKept(
            f"{len(found.missing)} {one.part.name} features that other processes computed are not in "
            f"{shelf.store.folder}; all machines need one folder of features, as FT_CACHE names it, and processors of "
            "one kind"
        )
    return _Had(found.rows, found.seconds, int(computed), int(decoded))


def _computed_and_kept(
    shelf: Shelf, found: Found, doubtful: bool, one: _Pass, batches: Sequence[tuple[list[int], int]], job: Job
) -> _Had:
    names, title = _names(one, job), f"{one.part.name} features"
    rows = [row for batch, _ in batches for row in batch]
    note = {"cut": asdict(one.proved.cut), "backbone": shown(job.config.backbone.use), "seconds": 0.0}
    shallower = None if doubtful else find_shallower(shelf, names, rows, one.proved, one.promise, job)
    if shallower is not None:  # mapped already: writing may make room by removing its entries
        kept, bridge = shallower
        features, computed, decoded = _continued(kept.rows, bridge, batches, title, job), 0, 0
        note["seconds"] = kept.seconds
    else:
        images = find_source(shelf.store, one.part, job, rows)
        computed, decoded = len(rows), sum(map(images.is_decoded, rows))
        if decoded and job.config.split.folds:
            images = _kept_for_other_folds(shelf.store, images, one, rows, job)
        pixels = bring_images(images, one.part, [batch for batch, _ in batches], job, title)
        features = _computed(pixels, [size for _, size in batches], one, job)
    shapes = [Shape(_row_shape(tensor), tensor.dtype) for tensor in one.proved.cut.tensors]
    kept_features = (as_kept(tensors, one.proved.cut) for tensors in features)
    with torch.inference_mode():
        whole = shelf.add(found, {row: names[row] for row in rows}, shapes, kept_features, note)
    return _Had(whole.rows, whole.seconds, computed, decoded)


def _kept_for_other_folds(store: FeatureStore, images: Source, one: _Pass, rows: Sequence[int], job: Job) -> Source:
    """The images of some rows, kept where there is room: the proof of another fold, and its figures, look at those that
    are in another part now."""
    size = 3 * job.preprocessing.crop_size**2 * len(rows) + one.proved.cut.bytes * len(rows)
    if not one.part.transform.varied and store.has_room_for_images(size):
        with suppress(NotKept):
            return keep_images(store, one.part, images, rows, job, f"{one.part.name} images")
    return images


def _computed(
    batches: Iterator[tuple[Sequence[int], torch.Tensor]], sizes: Sequence[int], one: _Pass, job: Job
) -> Iterator[Tensors]:
    """Yield the features of batches of images, each filled up to its size."""
    prefix = prepare_prefix(one.proved.halves.prefix, one.promise).to(job.machine.device)
    for (_, pixels), size in zip(batches, sizes, strict=True):
        yield run_padded(prefix, network_input(pixels, job.preprocessing, job.machine), size)


def _continued(
    kept: Joined | Rows,
    bridge: Callable[[Tensors], Tensors],
    batches: Sequence[tuple[list[int], int]],
    title: str,
    job: Job,
) -> Iterator[Tensors]:
    """Yield the features of batches from those that were kept for a shallower freeze."""
    with job.display.progress(title, sum(len(batch) for batch, _ in batches), unit="images") as bar:
        done = 0
        for batch, size in batches:
            given = kept.take([*batch, *batch[-1:] * (size - len(batch))])
            got = bridge(tuple(tensor.to(job.machine.device) for tensor in given))
            yield tuple(tensor[: len(batch)] for tensor in got)
            done += len(batch)
            bar.advance(done)
            job.stop.check()


def _row_shape(tensor: CutTensor) -> tuple[int, ...]:
    """The shape of one image's part as it is kept: dimensions in the sequence they have in memory."""
    if tensor.order[0] != 0:
        return tensor.shape
    return tuple(tensor.shape[dimension - 1] for dimension in tensor.order[1:])
