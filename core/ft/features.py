"""Gets the features of the frozen prefix: found in the store, or computed once for every image and view."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import PIL
import torch
import torchvision
from torch import fx

from ft.config import Config
from ft.data import ImageData, Item
from ft.devices import Machine
from ft.display import Display
from ft.extensions import Preprocessing
from ft.feature_reuse import find_shallower, padded_rows
from ft.feature_store import Entry, FeatureStore, Shape, Tensors, Writer
from ft.images import ImageDataset, Transform, eval_transform, train_transform
from ft.loaders import make_loader
from ft.prefix.digest import prefix_digest
from ft.prefix.fold import Promise, prepare_prefix
from ft.prefix.probe import run_padded
from ft.prefix.records import CutTensor
from ft.prefix.split import Halves
from ft.proof import Proved
from ft.signals import StopRequest

STORE_FORMAT = 1
PASS_BATCH = 32
"""Images a batch of the feature pass where the promise does not fix it."""


@dataclass(frozen=True, eq=False)
class Features:
    """What crosses the cut, for every training image and view (row view * N + image) and every validation image.

    `any_size` says that the features of a short batch are these, too; where not, they have to be computed for it.
    """

    halves: Halves
    suffix_eval: fx.GraphModule
    train: Tensors
    val: Tensors
    views: int
    any_size: bool
    computed: int


@dataclass(frozen=True)
class _Part:
    """Images whose features are one entry of the store.

    Training batches are always full, since another epoch's short batch has other images; the plain loop's validation
    batches are the same every time, the short one, too.
    """

    name: str
    items: Sequence[Item]
    transform: Transform
    views: int
    padded: bool
    random: Mapping[str, Any]


def get_features(
    proved: Proved,
    promise: Promise,
    data: ImageData,
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest,
) -> Features:
    """Return the features of all training and validation images, computing those that the store does not have.

    Raises StopAsked when a signal asks to stop meanwhile; nothing half done is then left behind.
    """
    halves, cut = proved.halves, proved.cut
    assert halves.suffix_eval is not None
    augment, views = config.images.augment, config.images.views or 1
    drawn = {} if augment == "none" else {"augment": augment, "views": views, "seed": config.seed}
    parts = (
        _Part("training", data.train, train_transform(preprocessing, augment), views, True, drawn),
        _Part("validation", data.val, eval_transform(preprocessing), 1, promise != "exact", {}),
    )
    store = FeatureStore(int(config.cache.disk_gb * 1e9))
    batch_size = config.training.batch_size if promise == "exact" else PASS_BATCH
    made_with = {
        "format": STORE_FORMAT,
        "prefix": prefix_digest(halves.prefix),
        "promise": promise,
        "batch_size": batch_size,
        "channels_last": machine.channels_last,
        "device": torch.device(machine.device).type,
        "processor": torch.backends.cpu.get_cpu_capability() if machine.device == "cpu" else platform.machine(),
        "versions": [torch.__version__, torchvision.__version__, PIL.__version__],
        "preprocessing": json.loads(json.dumps(asdict(preprocessing))),
    }
    prefix: Callable[[torch.Tensor], Tensors] | None = None
    found, computed = [], 0
    for part in parts:
        images = hashlib.sha256("".join(data.digests[item.path] for item in part.items).encode()).hexdigest()
        about = {**made_with, **part.random, "padded": part.padded, "images": images}
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        entry = store.find(key)
        if entry is None:
            shapes = [Shape(_row_shape(t), _kept_type(t.dtype, promise)) for t in cut.tensors]
            note = {**about, "cut": asdict(cut), "backbone": config.backbone.use}
            shallower = find_shallower(store, about, proved, promise)
            with store.write(key, shapes, len(part.items) * part.views, note) as writer:
                if shallower is not None:
                    _continue(*shallower, store, part, batch_size, writer, config, machine, display, stop)
                else:
                    prefix = prefix or prepare_prefix(halves.prefix, promise).to(machine.device)
                    _compute(prefix, part, batch_size, writer, config, machine, display, stop)
                    computed += len(part.items) * part.views
            entry = store.find(key)
            assert entry is not None, "what was just published is there"
        found.append(store.read(entry, in_memory=entry.size <= config.cache.memory_gb * 1e9))
    return Features(halves, halves.suffix_eval, found[0], found[1], views, proved.any_size, computed)


def _compute(
    prefix: Callable[[torch.Tensor], Tensors],
    part: _Part,
    batch_size: int,
    writer: Writer,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest,
) -> None:
    dataset = ImageDataset(part.items, part.transform, config.seed)
    loader = make_loader(dataset, batch_size, config.machine.workers, machine.device, shuffle=False, stop=stop)
    rows = len(part.items)
    try:
        with torch.inference_mode(), display.progress(f"{part.name} features", rows * part.views) as bar:
            for view in range(part.views):
                for images, _, indices in loader.epoch(view):
                    row = view * rows + int(indices[0])
                    sent = machine.send(images)
                    writer.put(row, run_padded(prefix, sent, batch_size) if part.padded else prefix(sent))
                    bar.advance(row + len(indices))
                    stop.check()
    finally:
        loader.close()


def _continue(
    entry: Entry,
    bridge: Callable[[Tensors], Tensors],
    store: FeatureStore,
    part: _Part,
    batch_size: int,
    writer: Writer,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest,
) -> None:
    """Compute a part's features from those that were kept for a shallower freeze, in the same batches."""
    rows = len(part.items)
    kept = store.read(entry, in_memory=entry.size <= config.cache.memory_gb * 1e9)
    with torch.inference_mode(), display.progress(f"{part.name} features", entry.rows) as bar:
        for view in range(part.views):
            for start in range(view * rows, (view + 1) * rows, batch_size):
                end = min(start + batch_size, (view + 1) * rows)
                given = padded_rows(kept, start, end, batch_size if part.padded else end - start)
                got = bridge(tuple(tensor.to(machine.device) for tensor in given))
                writer.put(start, tuple(tensor[: end - start] for tensor in got))
                bar.advance(end)
                stop.check()


def _row_shape(tensor: CutTensor) -> tuple[int, ...]:
    """The shape of one image's part as it is kept: dimensions in the sequence they have in memory."""
    if tensor.order[0] != 0:
        return tensor.shape
    return tuple(tensor.shape[dimension - 1] for dimension in tensor.order[1:])


def _kept_type(dtype: str, promise: Promise) -> str:
    return "bfloat16" if promise == "fast" and dtype in ("float32", "float64") else dtype
