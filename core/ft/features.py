"""Gets the features of the frozen prefix: found in the store, or computed once for every image and view."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ft.feature_reuse import find_shallower, made_of_noise, padded_rows
from ft.feature_store import FeatureStore, NotKept
from ft.images import network_input
from ft.job import Job
from ft.kept_images import (
    Part,
    about_images,
    decoded_batches,
    find_images,
    get_images,
    image_parts,
    kept_pixels,
    key_of,
)
from ft.loaders import full_batch, spans
from ft.prefix.digest import prefix_digest
from ft.prefix.fold import Promise, as_kept, prepare_prefix
from ft.prefix.probe import run_padded
from ft.prefix.records import CutTensor
from ft.proof import NotProved, Proved
from ft.redaction import shown
from ft.rows import Rows, Shape, Tensors

PASS_BATCH = 32
"""Images a batch of the feature pass where the promise does not fix it."""


@dataclass(frozen=True, eq=False)
class Features:
    """What crosses the cut, for every training image and view (row view * N + image) and every validation image.

    `pixels` are the training images where the features of a short batch are not these and have to be computed for it;
    None where not, or where there is no room for them. `computed` and `decoded` count the images (and views) that this
    took, `pass_seconds` how long, now or earlier.
    """

    train: Rows
    val: Rows
    pixels: Rows | None
    computed: int
    decoded: int
    pass_seconds: float


@dataclass(frozen=True, eq=False)
class _Pass:
    """How the features of one part are computed.

    Training batches are always full (`padded`), since another epoch's short batch has other images; the plain loop's
    validation batches are the same every time, the short one, too.
    """

    proved: Proved
    promise: Promise
    batch_size: int
    padded: bool


@dataclass(frozen=True, eq=False)
class _Had:
    """The features of one part, how many seconds their pass took, and for how many images it ran just now."""

    rows: Rows
    seconds: float
    computed: int = 0
    decoded: int = 0


def get_features(proved: Proved, promise: Promise, job: Job) -> Features:
    """Return the features of all training and validation images, computing those that the store does not have.

    Raises NotProved when they are not what the proof computed, and StopAsked when a signal asks to stop meanwhile;
    nothing half done is then left behind.
    """
    config, machine = job.config, job.machine
    store = FeatureStore(int(config.cache.disk_gb * 1e9))
    made_with = {
        "prefix": prefix_digest(proved.halves.prefix),
        "computes": made_of_noise(proved.halves.prefix, promise, job),
        "promise": promise,
        "channels_last": machine.channels_last,
        "device": torch.device(machine.device).type,
        "threads": torch.get_num_threads(),
        "processor": _processor(machine.device),
    }
    parts = image_parts(job)
    pixels, decoded = (None, 0) if proved.any_size else _pixels(store, proved, parts, job)
    in_memory = proved.cut.bytes * sum(part.rows for part in parts) <= config.cache.memory_gb * 1e9
    found, doubtful = [], False
    for part in parts:
        one = _pass_over(part, proved, promise, config.training.batch_size)
        about = {**about_images(part, job), **made_with, "batch_size": one.batch_size, "padded": one.padded}
        trial = proved.trial if part.name == "training" else None
        had = None if doubtful else _kept(store, key_of(about), in_memory, job)
        if had is not None and trial is not None and not trial.agrees(had.rows):
            # Something decides the values that the key does not know of; what has no trial is not to be believed then.
            had, doubtful = None, True
            job.display.warn("kept features are not what the network computes, and are computed anew")
        if had is None:
            had = _compute(store, about, in_memory, doubtful, part, one, job)
            if trial is not None and not trial.agrees(had.rows):
                store.remove(store.path(key_of(about)))
                raise NotProved("what an image gives differs from one pass to another")
        found.append(had)
    computed, decoded = sum(had.computed for had in found), decoded + sum(had.decoded for had in found)
    train, val = (had.rows for had in found)
    return Features(train, val, pixels, computed, decoded, sum(had.seconds for had in found))


def _pass_over(part: Part, proved: Proved, promise: Promise, asked: int) -> _Pass:
    if promise != "exact":
        return _Pass(proved, promise, PASS_BATCH, padded=True)
    if part.name == "training":
        return _Pass(proved, promise, full_batch(len(part.items), asked), padded=True)
    return _Pass(proved, promise, asked, padded=False)


def _processor(device: str) -> str:
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability() if kind == "cpu" else platform.machine()


def _pixels(store: FeatureStore, proved: Proved, parts: tuple[Part, Part], job: Job) -> tuple[Rows | None, int]:
    """The training images, for short batches, and how many had to be decoded; None where there is no room for both."""
    size = 3 * job.preprocessing.crop_size**2 * parts[0].rows
    if size + proved.cut.bytes * sum(part.rows for part in parts) > job.config.cache.disk_gb * 1e9:
        return None, 0
    try:
        return get_images(store, parts[0], job, in_memory=False)  # few of them are read, and memory is for features
    except NotKept:
        return None, 0


def _kept(store: FeatureStore, key: str, in_memory: bool, job: Job) -> _Had | None:
    """What the store has of a part, if it has it whole."""
    entry = store.find(key)
    if entry is None:
        return None
    rows = store.read(entry, in_memory)
    if rows is not None:
        return _Had(rows, entry.about["seconds"])
    job.display.warn(f"features in {entry.path} were damaged or are gone, and are computed anew")
    return None


def _compute(
    store: FeatureStore, about: dict[str, Any], in_memory: bool, doubtful: bool, part: Part, one: _Pass, job: Job
) -> _Had:
    """Compute a part's features, writing them into the store: from images where other features are `doubtful`."""
    shapes = [Shape(_row_shape(tensor), tensor.dtype) for tensor in one.proved.cut.tensors]
    note = {**about, "cut": asdict(one.proved.cut), "backbone": shown(job.config.backbone.use), "seconds": 0.0}
    started, title = time.perf_counter(), f"{part.name} features"
    shallower = None if doubtful else find_shallower(store, about, one.proved, one.promise, job)
    kept = store.read(shallower[0], in_memory=False) if shallower is not None else None
    if shallower is not None and kept is not None:  # read already: writing may make room by removing it
        rows = _continued(kept, shallower[1], part, one, job)
        note["seconds"] = shallower[0].about["seconds"]
        counts = 0, 0
    elif (images := find_images(store, part, job)) is not None:
        rows = _computed(kept_pixels(images, part, one.batch_size, job, title), one, job)
        counts = part.rows, 0
    else:
        rows = _computed(decoded_batches(part, one.batch_size, job, title), one, job)
        counts = part.rows, part.rows
    with store.write(key_of(about), shapes, part.rows, note) as writer, torch.inference_mode():
        for row, tensors in rows:
            writer.put(row, as_kept(tensors, one.proved.cut))
        note["seconds"] += time.perf_counter() - started
    return _Had(writer.written.in_memory() if in_memory else writer.written, note["seconds"], *counts)


def _computed(batches: Iterator[tuple[int, torch.Tensor]], one: _Pass, job: Job) -> Iterator[tuple[int, Tensors]]:
    """Yield (first row, features) of batches of images."""
    prefix = prepare_prefix(one.proved.halves.prefix, one.promise).to(job.machine.device)
    for row, pixels in batches:
        images = network_input(pixels, job.preprocessing, job.machine)
        if not one.padded:
            yield row, prefix(images)
            continue
        for start in range(0, len(images), one.batch_size):  # the last batch may have one image more
            yield row + start, run_padded(prefix, images[start : start + one.batch_size], one.batch_size)


def _continued(
    kept: Rows, bridge: Callable[[Tensors], Tensors], part: Part, one: _Pass, job: Job
) -> Iterator[tuple[int, Tensors]]:
    """Yield (first row, features) from those that were kept for a shallower freeze, in the same batches."""
    count, size = len(part.items), one.batch_size
    batches = [(row, min(row + size, count)) for row in range(0, count, size)] if one.padded else spans(count, size)
    with job.display.progress(f"{part.name} features", part.rows) as bar:
        for first in range(0, part.rows, count):
            for row, end in ((first + start, first + end) for start, end in batches):
                given = padded_rows(kept, row, end, size if one.padded else end - row)
                got = bridge(tuple(tensor.to(job.machine.device) for tensor in given))
                yield row, tuple(tensor[: end - row] for tensor in got)
                bar.advance(end)
                job.stop.check()


def _row_shape(tensor: CutTensor) -> tuple[int, ...]:
    """The shape of one image's part as it is kept: dimensions in the sequence they have in memory."""
    if tensor.order[0] != 0:
        return tensor.shape
    return tuple(tensor.shape[dimension - 1] for dimension in tensor.order[1:])
