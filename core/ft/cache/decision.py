"""Whether the frozen prefix is computed once, under which promise, and what that is worth: decided before training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext
from typing import Literal

import torch
from torch import nn

from ft.cache.named_rows import NAME
from ft.cache.store import FeatureStore
from ft.config.schema import Config
from ft.data.load import ImageData
from ft.errors import FtError
from ft.job import Job
from ft.machine.devices import Machine, has_fast_bf16
from ft.machine.distributed import processes_asked_for, processes_here
from ft.plan.records import CachePlan, Plan
from ft.prefix.find import Conditions, FrozenPrefix, find_prefix
from ft.prefix.records import Cut, NoCut, Price

GB = 10**9
STRICTER: dict[str, Literal["close", "exact"]] = {"fast": "close", "close": "exact"}
"""What is tried where the proof of a promise fails."""
PASSES_OF_A_SOLVER = 100
"""About how often L-BFGS sees every image; as often do images count where many heads train on what is kept, or not at
all."""
NETWORK = 1.2e9
"""Bytes a second that all machines of a run together read from one that has the features: 10 gigabits."""
WORTHWHILE = 1.05
"""Ceilings below this do not pay for keeping anything."""


def plan_cache(
    module: nn.Module, frozen: Collection[str], config: Config, machine: Machine, image_size: int, data: ImageData
) -> tuple[CachePlan, FrozenPrefix | None]:
    """Decide for `module`, in the modes and the layout it will train in, with images of `image_size` px.

    Raises FtError when the config demands a promise that cannot be kept; `auto` says why it does without.
    """
    wanted = config.cache.promise
    images = len(data.train) * (config.images.replayed or 1) + len(data.val)
    if wanted == "off":
        return CachePlan("off", "not asked for (--cache off)"), None
    promise = _promise(config, machine)
    reason = seen_once(config)
    if reason and not frozen:
        reason = f"nothing is frozen, and {reason}"
    if not reason:
        found = find_cut(module, frozen, config, machine, image_size)
        reason = found.reason if isinstance(found, NoCut) else unworthy(found.cut, config, images)
        if isinstance(found, FrozenPrefix) and not reason:
            return describe_cut(found.cut, promise, config, machine, images), found
        kept = keep_images(reason, config, image_size, images)
        if kept.keeps == "images":
            return kept, None
        reason = kept.reason
    if wanted != "auto":
        raise FtError(f"--cache {wanted} is not possible: {reason}")
    return CachePlan("off", reason), None


def plan_stricter(module: nn.Module, plan: Plan, why: str, job: Job) -> tuple[CachePlan, FrozenPrefix] | None:
    """Decide anew where the proof of the planned promise failed, as `why` says: for the next stricter one that is
    worth it. None where there is none."""
    config, machine, images = job.config, job.machine, plan.cache.images
    promise, said = STRICTER.get(plan.cache.promise), f"not {plan.cache.promise}, because {why}"
    while promise is not None:
        found = _find(module, plan.frozen, config, machine, job.preprocessing.crop_size, promise)
        if isinstance(found, FrozenPrefix) and not unworthy(found.cut, config, images):
            return describe_cut(found.cut, promise, config, machine, images, said), found
        promise = STRICTER.get(promise)
    return None


def open_store(config: Config) -> FeatureStore:
    """The folder of what is kept, as large as it may become in a run."""
    return FeatureStore(int(config.cache.disk_gb * GB), shard_bytes=int(config.cache.shard_mb * 10**6))


def price_of(config: Config) -> Price:
    """What computing and keeping cost in this run; every (image, view) is seen epochs / views times. Several machines
    read what is kept over a network."""
    epochs = config.training.passes / (config.images.replayed or 1)
    seen = PASSES_OF_A_SOLVER if config.training.fits_heads else epochs
    machines = processes_asked_for().world / processes_here()
    return Price(epochs=seen) if machines <= 1 else Price(bytes_per_s=NETWORK / machines, epochs=seen)


def describe_cut(
    cut: Cut,
    promise: Literal["exact", "close", "fast"],
    config: Config,
    machine: Machine,
    images: int,
    instead: str = "",
) -> CachePlan:
    """The plan's account of a cut; `instead` of which promise this one is made, and why."""
    reason = {"exact": f"{machine.precision}, bit for bit", "close": "fp32, folded", "fast": "bf16, folded"}[promise]
    if instead:
        reason += f"; {instead}"
    elif config.cache.promise == "auto":
        quickly = promise == "fast" and machine.precision == "fp32"
        reason += (
            f"; chosen because {'this processor computes bf16' if quickly else f'the run is in {machine.precision}'}"
        )
    elif config.cache.promise != promise:
        reason += f"; not {config.cache.promise}, because bf16 is emulated on this processor, which is slower"
    return CachePlan(
        promise=promise,
        reason=reason,
        keeps="features",
        tensors=tuple(f"{t.path} {list(t.shape)}" for t in cut.tensors),
        bytes_per_image=cut.bytes,
        images=images,
        views=config.images.replayed or 1,
        kept=_place(cut.bytes * images, config),
        prefix_flops=cut.prefix_flops,
        suffix_flops=cut.suffix_flops,
        ceiling=cut.ceiling,
        barriers=tuple(str(barrier) for barrier in cut.barriers if barrier.kind != "trainable"),
    )


def keep_images(reason: str, config: Config, image_size: int, images: int) -> CachePlan:
    """Keep decoded images where they fit, which is exact whatever the network does, and, as `reason` says, no more."""
    size = 3 * image_size**2
    if too_much := _too_much(size, images, config, "decoded images"):
        return CachePlan("off", reason if too_much in reason else f"{reason}; {too_much}")
    return CachePlan(
        promise="exact",
        reason=reason,
        keeps="images",
        bytes_per_image=size,
        images=images,
        views=config.images.replayed or 1,
        kept=_place(size * images, config),
    )


def find_cut(
    module: nn.Module, frozen: Collection[str], config: Config, machine: Machine, image_size: int
) -> FrozenPrefix | NoCut:
    """Where `module` would be cut under the promise that the config asks for, which is not `off`."""
    return _find(module, frozen, config, machine, image_size, _promise(config, machine))


def _find(
    module: nn.Module, frozen: Collection[str], config: Config, machine: Machine, image_size: int, promise: str
) -> FrozenPrefix | NoCut:
    if not frozen:
        return NoCut("nothing is frozen")
    if config.training.mixup or config.training.cutmix:
        name = "mixup" if config.training.mixup else "CutMix"
        return NoCut(f"{name} blends images anew in every step, so what they give is never seen twice")
    layout = torch.channels_last if machine.channels_last else torch.contiguous_format
    computed_in = {"exact": machine.autocast, "close": nullcontext, "fast": machine.autocast_bf16}[promise]
    under = Conditions(layout, machine.autocast, computed_in)
    found = find_prefix(module, frozen, (3, image_size, image_size), price_of(config), under)
    if config.training.manifold_mixup and isinstance(found, FrozenPrefix) and not found.cut.keeps_images:
        for tensor in found.cut.tensors:
            if "float" not in tensor.dtype:
                return NoCut(f"what crosses the cut at {tensor.path} is {tensor.dtype}, which cannot be blended")
    return found


def _promise(config: Config, machine: Machine) -> Literal["exact", "close", "fast"]:
    wanted = config.cache.promise
    if wanted == "auto":
        open_choice = config.machine.precision == "auto" and has_fast_bf16(machine.device)
        return "fast" if open_choice or machine.precision == "bf16" else "exact"
    assert wanted != "off"
    if wanted == "fast" and not has_fast_bf16(machine.device):
        return "close"  # bf16 is emulated here, and slower than fp32
    if wanted in ("exact", "close") and machine.precision != "fp32":
        raise FtError(f"--cache {wanted} promises fp32, and the run is in {machine.precision}; add --precision fp32")
    return wanted


def seen_once(config: Config) -> str:
    """Why no image is seen twice, so that nothing can be kept, whatever the network; "" where it is."""
    augment, views = config.images.augment, config.images.replayed
    if config.images.varies and views is None:
        return (
            f"augmentation '{augment.use}' makes a new view of every image in every epoch; "
            "--views 4 replays four, --augment none makes none"
        )
    if not config.training.fits_heads and config.training.passes <= (views or 1):
        return "every view of an image is seen once only"
    return ""


def unworthy(cut: Cut, config: Config, images: int) -> str:
    """Why the features that cross `cut` are not to be kept; "" where they are."""
    if cut.keeps_images or cut.ceiling < WORTHWHILE:
        barriers = [str(b) for b in cut.barriers if b.kind != "trainable"]
        return "what could be computed once is not worth keeping" + (f" ({barriers[0]})" if barriers else "")
    return _too_much(cut.bytes, images, config, "features")


def _too_much(each: int, images: int, config: Config, what: str) -> str:
    """Why `each` bytes of so many images are not kept; "" where they are."""
    size = each * images
    if size > config.cache.disk_gb * GB:
        need = math.ceil(size / GB * 10) / 10
        return f"its {what} would take {need:.1f} GB; --set cache.disk_gb={need:.1f} allows that"
    store = open_store(config)
    # Of training and validation one has half of the images or more; what is there already may be all that is needed.
    rows = Counter[str]()
    for entry in store.entries():
        if sum(shape.row_bytes for shape in entry.shapes if shape != NAME) == each:
            rows[entry.made_alike] += entry.rows
    kept = any(2 * count >= images for count in rows.values())
    obstacle = "" if kept else store.obstacle(size)
    return f"nothing can be kept: {obstacle}" if obstacle else ""


def _place(size: int, config: Config) -> Literal["memory", "disk"]:
    return "memory" if size <= config.cache.memory_gb * GB else "disk"
