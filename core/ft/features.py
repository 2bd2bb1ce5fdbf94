"""Gets the features of the frozen prefix: found in the store, or computed once for every image and view."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ft.feature_reuse import find_shallower, padded_rows
from ft.feature_store import Entry, FeatureStore, NotKept, Shape, Tensors
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
from ft.loaders import spans
from ft.prefix.digest import prefix_digest
from ft.prefix.fold import Promise, prepare_prefix
from ft.prefix.probe import run_padded
from ft.prefix.records import CutTensor
from ft.proof import NotProved, Proved, Trial
from ft.redaction import shown

PASS_BATCH = 32
"""Images a batch of the feature pass where the promise does not fix it."""


@dataclass(frozen=True, eq=False)
class Features:
    """What crosses the cut, for every training image and view (row view * N + image) and every validation image.

    `pixels` are the training images where the features of a short batch are not these and have to be computed for it;
    None where not, or where there is no room for them. `computed` and `decoded` count the images (and views) that this
    took, `pass_seconds` how long, now or earlier.
    """

    train: Tensors
    val: Tensors
    pixels: torch.Tensor | None
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


def get_features(proved: Proved, promise: Promise, job: Job) -> Features:
    """Return the features of all training and validation images, computing those that the store does not have.

    Raises NotProved when they are not what the proof computed, and StopAsked when a signal asks to stop meanwhile;
    nothing half done is then left behind.
    """
    config, machine = job.config, job.machine
    store = FeatureStore(int(config.cache.disk_gb * 1e9))
    batch_size = config.training.batch_size if promise == "exact" else PASS_BATCH
    made_with = {
        "prefix": prefix_digest(proved.halves.prefix),
        "promise": promise,
        "batch_size": batch_size,
        "channels_last": machine.channels_last,
        "device": torch.device(machine.device).type,
        "threads": torch.get_num_threads() if promise == "exact" else "any",
        "processor": torch.backends.cpu.get_cpu_capability() if machine.device == "cpu" else platform.machine(),
    }
    parts = image_parts(job)
    pixels, decoded = (None, 0) if proved.any_size else _pixels(store, proved, parts, job)
    in_memory = proved.cut.bytes * sum(part.rows for part in parts) <= config.cache.memory_gb * 1e9
    found, computed, seconds = [], 0, 0.0
    for part in parts:
        one = _Pass(proved, promise, batch_size, padded=part.name == "training" or promise != "exact")
        about = {**about_images(part, job), **made_with, "padded": one.padded}
        trial = proved.trial if part.name == "training" else None
        kept = _kept(store, key_of(about), in_memory, trial, job)
        if kept is None:
            new, more = _compute(store, about, part, one, job)
            computed, decoded = computed + new, decoded + more
            kept = store.read_written(key_of(about), in_memory)
            if trial is not None and not trial.agrees(kept[1]):
                store.remove(kept[0].path)
                raise NotProved("what an image gives differs from one pass to another")
        seconds += kept[0].about["seconds"]
        found.append(kept[1])
    return Features(found[0], found[1], pixels, computed, decoded, seconds)


def _pixels(store: FeatureStore, proved: Proved, parts: tuple[Part, Part], job: Job) -> tuple[torch.Tensor | None, int]:
    """The training images, for short batches, and how many had to be decoded; None where there is no room for both."""
    size = 3 * job.preprocessing.crop_size**2 * parts[0].rows
    if size + proved.cut.bytes * sum(part.rows for part in parts) > job.config.cache.disk_gb * 1e9:
        return None, 0
    try:
        pixels, decoded = get_images(store, parts[0], job)
    except NotKept:
        return None, 0
    mapped = find_images(store, parts[0], job, check=False)  # few of them are read, and memory is for features
    return pixels if mapped is None else mapped, decoded


def _kept(
    store: FeatureStore, key: str, in_memory: bool, trial: Trial | None, job: Job
) -> tuple[Entry, Tensors] | None:
    """The store's entry, if it has it whole and it agrees with the proof."""
    entry = store.find(key)
    if entry is None:
        return None
    tensors = store.read(entry, in_memory)
    if tensors is not None and (trial is None or trial.agrees(tensors)):
        return entry, tensors
    store.remove(entry.path)
    why = "were damaged or are gone" if tensors is None else "are not what the network computes"
    job.display.warn(f"features in {entry.path} {why}, and are computed anew")
    return None


def _compute(store: FeatureStore, about: dict[str, Any], part: Part, one: _Pass, job: Job) -> tuple[int, int]:
    """Write a part's features into the store; return for how many images they were computed, and how many decoded."""
    shapes = [Shape(_row_shape(t), _kept_type(t.dtype, one.promise)) for t in one.proved.cut.tensors]
    note = {**about, "cut": asdict(one.proved.cut), "backbone": shown(job.config.backbone.use), "seconds": 0.0}
    started, title = time.perf_counter(), f"{part.name} features"
    shallower = find_shallower(store, about, one.proved, one.promise)
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
            writer.put(row, tensors)
        note["seconds"] += time.perf_counter() - started
    return counts


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
    kept: Tensors, bridge: Callable[[Tensors], Tensors], part: Part, one: _Pass, job: Job
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


def _kept_type(dtype: str, promise: Promise) -> str:
    if promise == "exact" or "float" not in dtype:
        return dtype
    return "bfloat16" if promise == "fast" else "float32"
