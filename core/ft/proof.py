"""Proves on real images that computing the frozen prefix once is what was promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import fx, nn

from ft.caching import price_of, unworthy
from ft.feature_store import FeatureStore, Tensors
from ft.images import network_input
from ft.job import Job
from ft.kept_images import some_training_images
from ft.loaders import epoch_batches
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

    def agrees(self, kept: Tensors) -> bool:
        """Whether what is kept of all training images is what the proof computed of these."""
        rows = tuple(tensor[self.rows].to(self.features[0].device) for tensor in kept)
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
    count = 2 * _tried_at_once(job) if promise == "exact" else TRIED
    pixels, rows, decoded = some_training_images(store, job, count)
    images = network_input(pixels, job.preprocessing, job.machine)
    if promise == "exact":
        return _exactly(module, prefix, plan, images, rows, job), decoded
    halves = _halves(prefix)
    try:
        prepared = prepare_prefix(halves.prefix, promise).to(job.machine.device)
    except TypeError as error:  # a lock, or an open file
        raise NotProved(f"its layers cannot be copied ({error})") from error
    tolerance = ROUNDING_BF16 if promise == "fast" else ROUNDING
    _refuse(probe_loosely(halves.prefix, prepared, images, tolerance))
    _refuse(probe_validation(module, halves, images, ROUNDING))
    if prefix.observed.graph.boundaries is not None:  # the network's own code also decides what a training step does
        _refuse(probe_equality(module, halves, images))
    return Proved(halves, prefix.cut, prefix.observed, _trial(prepared, images, rows, tolerance)), decoded


def _exactly(
    module: nn.Module, planned: FrozenPrefix, plan: Plan, images: torch.Tensor, rows: list[int], job: Job
) -> Proved:
    config, size = job.config, _tried_at_once(job)
    batch = images[:size]
    prefix = steady(planned, plan.frozen, batch, (size,), price_of(config, "exact"))
    if prefix.cut.keeps_images:
        raise NotProved("every layer computes an image differently beside others")
    if moved := unworthy(prefix.cut, config, plan.cache.images):
        raise NotProved(f"before what computes an image differently beside others, {moved}")
    halves = _halves(prefix)
    _refuse(probe_shuffled(halves.prefix, images, size))
    _refuse(probe_equality(module, halves, batch))
    _refuse(probe_validation(module, halves, batch, 0))
    notes = [str(barrier) for barrier in prefix.cut.barriers if barrier.kind == "batch"]
    asked = config.training.batch_size
    short = {len(each) for each in epoch_batches(len(job.data.train), asked, config.seed, 0, shuffle=True)} - {asked}
    largest = max(short, default=0)  # a last image that would be alone makes a batch one larger
    differs = probe_batch_invariance(halves.prefix, batch, sorted(short)) if short else None
    any_size = largest <= asked and differs is None
    if not any_size:
        why = f"the network {differs}" if largest <= asked else f"it has {largest} images"
        notes.append(f"the last batch of each epoch goes through the whole network: {why}")
    trial = _trial(partial(run_padded, halves.prefix, batch_size=asked), images[:asked], rows[:asked], 0)
    return Proved(halves, prefix.cut, prefix.observed, trial, any_size, tuple(notes))


def _tried_at_once(job: Job) -> int:
    return max(2, job.config.training.batch_size)


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
