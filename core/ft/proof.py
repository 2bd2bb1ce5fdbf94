"""Proves on real images that computing the frozen prefix once is what was promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import fx, nn

from ft.caching import price_of, unworthy
from ft.feature_store import FeatureStore
from ft.images import network_input
from ft.job import Job
from ft.kept_images import some_training_images
from ft.loaders import full_batch, spans
from ft.plan import Plan
from ft.prefix.find import FrozenPrefix, split_module, steady
from ft.prefix.fold import prepare_prefix
from ft.prefix.observe import Observed
from ft.prefix.probe import (
    ROUNDING,
    distance,
    probe_batch_invariance,
    probe_equality,
    probe_loosely,
    probe_shuffled,
    probe_validation,
    run_padded,
    same_bits,
)
from ft.prefix.records import Cut
from ft.prefix.split import Halves
from ft.prefix.state import attributes_kept
from ft.rows import Rows, Tensors

ROUNDING_BF16 = 0.3
"""How far apart features may be that were computed in bf16 and in fp32: those of EfficientNet-Lite0 are by 0.08, those
of torchvision's networks, with random weights, by 0.015 at most. What computes something else is further off."""
TRIED = 4
"""Images that *close* and *fast* are tried with."""


class NotProved(Exception):
    """Features computed once would not be what the plain loop computes."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Features of a few training images, computed for the proof: those kept as `rows` have to agree with them."""

    rows: list[int]
    features: Tensors
    tolerance: float

    def agrees(self, kept: Rows) -> bool:
        """Whether what is kept of all training images is what the proof computed of these."""
        rows = tuple(tensor.to(self.features[0].device) for tensor in kept.take(self.rows))
        if self.tolerance == 0:
            return all(map(same_bits, rows, self.features))
        return distance(rows, self.features) <= self.tolerance


@dataclass(frozen=True, eq=False)
class Proved:
    """The halves of the network and where it is cut.

    `any_size` says that a short batch, too, gives the features of a full one, and `notes` what came out otherwise than
    planned. `trial` is None where views are random.
    """

    halves: Halves
    cut: Cut
    observed: Observed
    trial: Trial | None
    any_size: bool = True
    notes: tuple[str, ...] = ()

    @property
    def suffix_eval(self) -> fx.GraphModule:
        """What follows the cut in eval mode."""
        assert self.halves.suffix_eval is not None, "the proof refuses a network that has none"
        return self.halves.suffix_eval


def prove(module: nn.Module, prefix: FrozenPrefix, plan: Plan, job: Job) -> tuple[Proved, int]:
    """Return the halves of the network, cut earlier than planned where *exact* needs that, and how many images were
    decoded for it.

    *exact*: an image's features do not depend on where, and beside what, it lies in a batch, and one step through the
    halves, and one validation, equal those through the whole in every bit. *close*, *fast*: they do so but for
    rounding. Raises NotProved with what differs.
    """
    promise, store = plan.cache.promise, FeatureStore(int(job.config.cache.disk_gb * 1e9))
    assert promise != "off"
    full = full_batch(len(job.data.train), job.config.training.batch_size)
    count = 2 * max(2, full) if promise == "exact" else TRIED
    pixels, rows, decoded = some_training_images(store, job, count, beside=plan.cache.bytes)
    images = network_input(pixels, job.preprocessing, job.machine)
    if promise == "exact":
        return _exactly(module, prefix, plan, images, rows, full, job), decoded
    halves = _halves(prefix)
    try:
        prepared = prepare_prefix(halves.prefix, promise).to(job.machine.device)
    except TypeError as error:  # a lock, or an open file
        raise NotProved(f"its layers cannot be copied ({error})") from error
    tolerance = ROUNDING_BF16 if promise == "fast" else ROUNDING
    with attributes_kept(module):  # a training step has no use for what layers keep of inference mode
        _refuse(probe_loosely(halves.prefix, prepared, images, tolerance))
    _refuse(probe_equality(module, halves, images, ROUNDING))
    _refuse(probe_validation(module, halves, images, ROUNDING))
    return Proved(halves, prefix.cut, prefix.observed, _trial(prepared, images, rows, tolerance)), decoded


def _exactly(
    module: nn.Module, planned: FrozenPrefix, plan: Plan, images: torch.Tensor, rows: list[int], full: int, job: Job
) -> Proved:
    config, size = job.config, len(images) // 2
    batch = images[:size]
    with attributes_kept(module):
        prefix = steady(planned, plan.frozen, batch, (size,), price_of(config, "exact"))
    if prefix.cut.keeps_images:
        every = "every layer" if prefix.observed.graph.boundaries is None else "a layer before the module boundary"
        raise NotProved(f"{every} computes an image differently beside others")
    if moved := unworthy(prefix.cut, config, plan.cache.images):
        raise NotProved(f"before what computes an image differently beside others, {moved}")
    halves = _halves(prefix)
    with attributes_kept(module):
        _refuse(probe_shuffled(halves.prefix, images, size))
    _refuse(probe_equality(module, halves, batch))
    _refuse(probe_validation(module, halves, batch, 0))
    notes = [str(barrier) for barrier in prefix.cut.barriers if barrier.kind == "batch"]
    start, end = spans(len(job.data.train), config.training.batch_size)[-1]
    last = end - start  # one that would be alone makes a batch one larger
    differs = probe_batch_invariance(halves.prefix, batch, [last]) if last < full else None
    any_size = last <= full and differs is None
    if not any_size:
        why = f"the network {differs}" if last <= full else f"it has {last} images"
        notes.append(f"the last batch of each epoch goes through the whole network: {why}")
    trial = _trial(partial(run_padded, halves.prefix, batch_size=full), images[:full], rows[:full], 0)
    return Proved(halves, prefix.cut, prefix.observed, trial, any_size, tuple(notes))


def _halves(prefix: FrozenPrefix) -> Halves:
    halves = split_module(prefix)
    if halves.suffix_eval is None:
        raise NotProved("validation needs values that training does not compute")
    return halves


def _refuse(found: str | None) -> None:
    if found is not None:
        raise NotProved(f"what an image gives {found}" if found.startswith(("depends", "is")) else found)


def _trial(
    prefix: Callable[[torch.Tensor], Tensors], images: torch.Tensor, rows: list[int], tolerance: float
) -> Trial | None:
    if not rows:
        return None
    with torch.inference_mode():
        return Trial(rows, prefix(images.clone()), tolerance)
