"""Proves on real images that computing the frozen prefix once is what was promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import fx, nn

from ft.cache.decision import price_of, unworthy
from ft.cache.kept_images import some_training_images
from ft.cache.rows import Joined, Rows
from ft.cache.store import FeatureStore
from ft.data.order import full_batch, spans
from ft.data.transforms import network_input
from ft.job import Job
from ft.plan.records import Plan
from ft.prefix.find import FrozenPrefix, earlier, split_module, steady
from ft.prefix.fold import as_kept, prepare_prefix
from ft.prefix.nearness import NEAR_IN_BF16, NEAR_IN_FP32, Nearness, nearness
from ft.prefix.observe import Observed
from ft.prefix.probe import (
    ROUNDING,
    batchwise,
    probe_batch_invariance,
    probe_equality,
    probe_loosely,
    probe_shuffled,
    probe_validation,
    same_bits,
)
from ft.prefix.records import Cut, Tensors
from ft.prefix.split import Halves
from ft.prefix.state import attributes_kept

NEAR = {"fast": NEAR_IN_BF16, "close": NEAR_IN_FP32}
TRIED = 16
"""Images that *close* and *fast* are tried with, at most: by 32 heads that is 512 answers."""
STEPPED = 4
"""Those of them that go through a step of training."""
CUTS = 5
"""Cuts that *exact* is tried with, at most: where the proof fails, each the cheapest one before what failed, or, where
nobody can tell what did, before half of what would have been computed once."""


class NotProved(Exception):
    """Features computed once would not be what the plain loop computes."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Features of a few training images, as the plain network computes them: what is kept as `rows` has to be as near
    to them as `limit` says, or to have the same bits where there is none."""

    rows: list[int]
    features: Tensors
    limit: Nearness | None

    def agrees(self, kept: Joined | Rows) -> bool:
        """Whether what is kept of all training images is what the proof computed of these."""
        rows = tuple(tensor.to(self.features[0].device) for tensor in kept.take(self.rows))
        if self.limit is None:
            return all(map(same_bits, rows, self.features))
        return nearness(rows, self.features).within(self.limit)


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


def prove(module: nn.Module, prefix: FrozenPrefix, plan: Plan, store: FeatureStore, job: Job) -> tuple[Proved, int]:
    """Return the halves of the network, cut earlier than planned where *exact* needs that, and how many images were
    decoded for it.

    *exact*: an image's features do not depend on where, and beside what, it lies in a batch, and one step through the
    halves, and one validation, equal those through the whole in every bit. *close*, *fast*: they do so but for
    rounding. Raises NotProved with what differs.
    """
    promise = plan.cache.promise
    assert promise != "off"
    full = full_batch(len(job.data.train), job.config.training.batch_size)
    count = 2 * max(2, full) if promise == "exact" else max(STEPPED, min(TRIED, len(job.data.train)))
    pixels, rows, decoded = some_training_images(store, job, count, beside=plan.cache.bytes)
    images = network_input(pixels, job.preprocessing, job.machine)
    if promise == "exact":
        return _exactly(module, prefix, plan, images, rows, job), decoded
    return _nearly(module, prefix, promise, images, rows, job), decoded


def _nearly(
    module: nn.Module,
    prefix: FrozenPrefix,
    promise: Literal["close", "fast"],
    images: torch.Tensor,
    rows: list[int],
    job: Job,
) -> Proved:
    halves, cut = _halves(prefix), prefix.cut
    try:
        prepared = prepare_prefix(halves.prefix, promise).to(job.machine.device)
    except TypeError as error:  # a lock, or an open file
        raise NotProved(f"its layers cannot be copied ({error})") from error
    with attributes_kept(module):  # a training step has no use for what layers keep of inference mode
        kept = partial(_kept, prepared, cut)
        with torch.inference_mode():
            expected = halves.prefix(images.clone())  # a network may write to its input
        _refuse(probe_loosely(halves.prefix, kept, images, expected, NEAR[promise]))
    stepped = tuple(tensor[:STEPPED] for tensor in expected)
    _refuse(probe_equality(module, halves, images[:STEPPED], ROUNDING, stepped))
    _refuse(probe_validation(module, halves, images[:STEPPED], ROUNDING, stepped))
    return Proved(halves, cut, prefix.observed, Trial(rows, expected, NEAR[promise]) if rows else None)


def _kept(prefix: Callable[[torch.Tensor], Tensors], cut: Cut, images: torch.Tensor) -> Tensors:
    return as_kept(prefix(images), cut)


def _exactly(
    module: nn.Module, planned: FrozenPrefix, plan: Plan, images: torch.Tensor, rows: list[int], job: Job
) -> Proved:
    config, size = job.config, len(images) // 2
    full = full_batch(len(job.data.train), config.training.batch_size)
    batch = images[:size]
    with attributes_kept(module):
        prefix = steady(planned, plan.frozen, batch, (size,), price_of(config))
    if prefix.cut.keeps_images:
        every = "every layer" if prefix.observed.graph.boundaries is None else "a layer before the module boundary"
        raise NotProved(f"{every} computes an image differently beside others")
    if moved := unworthy(prefix.cut, config, plan.cache.images):
        raise NotProved(f"before what computes an image differently beside others, {moved}")
    halves, prefix, features, notes = _first_equal(module, prefix, plan, images, job)
    notes += [str(barrier) for barrier in prefix.cut.barriers if barrier.kind == "batch"]
    start, end = spans(len(job.data.train), config.training.batch_size)[-1]
    last = end - start  # one that would be alone makes a batch one larger
    differs = probe_batch_invariance(halves.prefix, batch, [last], features) if last < full else None
    any_size = last <= full and differs is None
    if not any_size:
        why = f"the network {differs}" if last <= full else f"it has {last} images"
        notes.append(f"the last batch of each epoch goes through the whole network: {why}")
    if full < size:  # a batch of the loop is one image
        (features,) = batchwise(halves.prefix, images[:full], full)
    trial = Trial(rows[:full], features, None) if rows else None
    return Proved(halves, prefix.cut, prefix.observed, trial, any_size, tuple(notes))


def _first_equal(
    module: nn.Module, prefix: FrozenPrefix, plan: Plan, images: torch.Tensor, job: Job
) -> tuple[Halves, FrozenPrefix, Tensors, list[str]]:
    """The halves at the first cut, from that of `prefix` on, where they equal the whole; the cut; the features there of
    the first half of the images; what failed before.

    Raises NotProved with what failed last, where no earlier cut is worth it or enough were tried.
    """
    config, size, failed = job.config, len(images) // 2, list[str]()
    while True:
        try:
            halves, features = _equal(module, prefix, images)
            return halves, prefix, features, failed
        except NotProved as error:
            why = str(error)
        failed.append(f"cut after {prefix.cut.tensors[0].path}: {why}; an earlier one is tried")
        with attributes_kept(module):
            moved = earlier(prefix, plan.frozen, images, size, why, price_of(config))
            moved = steady(moved, plan.frozen, images[:size], (size,), price_of(config))
        if len(failed) == CUTS or moved.cut == prefix.cut or unworthy(moved.cut, config, plan.cache.images):
            tried = f" ({len(failed)} cuts were tried)" if len(failed) > 1 else ""
            raise NotProved(f"{why}{tried}")
        prefix = moved


def _equal(module: nn.Module, prefix: FrozenPrefix, images: torch.Tensor) -> tuple[Halves, Tensors]:
    """The halves, which compute what the whole network does in every bit, and the features of the first half of the
    images. Raises NotProved."""
    halves, size = _halves(prefix), len(images) // 2
    with attributes_kept(module):
        features = batchwise(halves.prefix, images, size)
        _refuse(probe_shuffled(halves.prefix, images, size, features))
    _refuse(probe_equality(module, halves, images[:size], 0, features[0]))
    _refuse(probe_validation(module, halves, images[:size], 0, features[0]))
    return halves, features[0]


def _halves(prefix: FrozenPrefix) -> Halves:
    halves = split_module(prefix)
    if halves.suffix_eval is None:
        raise NotProved("validation needs values that training does not compute")
    return halves


def _refuse(found: str | None) -> None:
    if found is not None:
        raise NotProved(f"what an image gives {found}" if found.startswith(("depends", "is")) else found)
