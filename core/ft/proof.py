"""Proves on real images that computing the frozen prefix once is what was promised."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ft.caching import price_of, unworthy
from ft.feature_store import FeatureStore
from ft.images import network_input
from ft.job import Job
from ft.kept_images import get_images, some_training_images
from ft.loaders import epoch_batches
from ft.plan import Plan
from ft.prefix.find import FrozenPrefix, split_module, steady
from ft.prefix.observe import Observed
from ft.prefix.probe import probe_batch_invariance, probe_equality, probe_shuffled
from ft.prefix.records import Cut
from ft.prefix.split import Halves


class NotProved(Exception):
    """Features computed once would not be what the plain loop computes."""


@dataclass(frozen=True, eq=False)
class Proved:
    """The halves of the network, where it is cut, and whether a short batch, too, gives the features of a full one."""

    halves: Halves
    cut: Cut
    observed: Observed
    any_size: bool = True


def prove(module: nn.Module, prefix: FrozenPrefix, plan: Plan, job: Job) -> Proved:
    """Return the halves of the network, cut earlier than planned where *exact* needs that.

    *exact*: an image's features do not depend on where, and beside what, it lies in a batch, and one step through the
    halves equals one through the whole in every bit. Raises NotProved with what differs.
    """
    if plan.cache.promise != "exact":
        return Proved(_halves(prefix), prefix.cut, prefix.observed)
    config = job.config
    size = max(2, config.training.batch_size)
    pixels, _ = get_images(FeatureStore(int(config.cache.disk_gb * 1e9)), some_training_images(job, 2 * size), job)
    images = network_input(pixels, job.preprocessing, job.machine)
    batch = images[:size]
    prefix = steady(prefix, plan.frozen, batch, (size,), price_of(config, "exact"))
    if prefix.cut.keeps_images:
        raise NotProved("every layer computes an image differently beside others")
    if moved := unworthy(prefix.cut, config, plan.cache.images):
        raise NotProved(f"before what computes an image differently beside others, {moved}")
    halves = _halves(prefix)
    reason = probe_shuffled(halves.prefix, images, size) or probe_equality(module, halves, batch)
    if reason:
        raise NotProved(f"what an image gives {reason}" if reason.startswith("depends") else reason)
    short = {len(each) for each in epoch_batches(len(job.data.train), size, config.seed, 0, shuffle=True)} - {size}
    largest = max(short, default=0)  # a last image that would be alone makes a batch one larger
    any_size = largest <= size and not (short and probe_batch_invariance(halves.prefix, batch, sorted(short)))
    return Proved(halves, prefix.cut, prefix.observed, any_size)


def _halves(prefix: FrozenPrefix) -> Halves:
    halves = split_module(prefix)
    if halves.suffix_eval is None:
        raise NotProved("validation needs values that training does not compute")
    return halves
