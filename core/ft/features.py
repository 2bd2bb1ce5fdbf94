"""Gets the features of the frozen prefix: found in the store, or computed once for every image and view."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import fx

from ft.feature_reuse import find_shallower, padded_rows
from ft.feature_store import FeatureStore, Shape, Tensors
from ft.images import network_input
from ft.job import Job
from ft.kept_images import Part, about_images, find_images, image_parts, key_of, pixel_batches
from ft.loaders import spans
from ft.prefix.digest import prefix_digest
from ft.prefix.fold import Promise, prepare_prefix
from ft.prefix.probe import run_padded
from ft.prefix.records import CutTensor
from ft.prefix.split import Halves
from ft.proof import Proved
from ft.redaction import shown

PASS_BATCH = 32
"""Images a batch of the feature pass where the promise does not fix it."""


@dataclass(frozen=True, eq=False)
class Features:
    """What crosses the cut, for every training image and view (row view * N + image) and every validation image.

    `any_size` says that the features of a short batch are these, too; where not, they have to be computed for it.
    `computed` and `decoded` count the images (and views) that this took.
    """

    halves: Halves
    suffix_eval: fx.GraphModule
    train: Tensors
    val: Tensors
    views: int
    any_size: bool
    computed: int
    decoded: int


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

    Raises StopAsked when a signal asks to stop meanwhile; nothing half done is then left behind.
    """
    halves, config, machine = proved.halves, job.config, job.machine
    assert halves.suffix_eval is not None
    store = FeatureStore(int(config.cache.disk_gb * 1e9))
    batch_size = config.training.batch_size if promise == "exact" else PASS_BATCH
    made_with = {
        "prefix": prefix_digest(halves.prefix),
        "promise": promise,
        "batch_size": batch_size,
        "channels_last": machine.channels_last,
        "device": torch.device(machine.device).type,
        "processor": torch.backends.cpu.get_cpu_capability() if machine.device == "cpu" else platform.machine(),
    }
    found, computed, decoded = [], 0, 0
    parts = image_parts(job)
    in_memory = proved.cut.bytes * sum(part.rows for part in parts) <= config.cache.memory_gb * 1e9
    for part in parts:
        padded = part.name == "training" or promise != "exact"
        about = {**about_images(part, job), **made_with, "padded": padded}
        key = key_of(about)
        entry = store.find(key)
        if entry is None:
            shapes = [Shape(_row_shape(t), _kept_type(t.dtype, promise)) for t in proved.cut.tensors]
            note = {**about, "cut": asdict(proved.cut), "backbone": shown(config.backbone.use)}
            one = _Pass(proved, promise, batch_size, padded)
            shallower = find_shallower(store, about, proved, promise)
            if shallower is None:
                computed += part.rows
                decoded += 0 if find_images(store, part, job) else part.rows
                rows = _computed(store, part, one, job)
            else:
                kept = store.read(shallower[0], in_memory)  # writing may make room by removing it
                rows = _continued(kept, shallower[1], part, one, job)
            with store.write(key, shapes, part.rows, note) as writer, torch.inference_mode():
                for row, tensors in rows:
                    writer.put(row, tensors)
            entry = store.find(key)
            assert entry is not None, "what was just published is there"
        found.append(store.read(entry, in_memory))
    views = config.images.views or 1
    return Features(halves, halves.suffix_eval, found[0], found[1], views, proved.any_size, computed, decoded)


def _computed(store: FeatureStore, part: Part, one: _Pass, job: Job) -> Iterator[tuple[int, Tensors]]:
    """Yield (first row, features) of a part's batches, from its images."""
    prefix = prepare_prefix(one.proved.halves.prefix, one.promise).to(job.machine.device)
    for row, pixels in pixel_batches(store, part, one.batch_size, job, f"{part.name} features"):
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
    return "bfloat16" if promise == "fast" and dtype in ("float32", "float64") else dtype
