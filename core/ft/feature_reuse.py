"""Features that were kept for a shallower freeze lead to those of a deeper one, without looking at an image again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from ft.feature_store import Entry, FeatureStore
from ft.images import network_input
from ft.job import Job
from ft.prefix.digest import computed_digest, prefix_digest
from ft.prefix.fold import Promise, prepare_prefix
from ft.prefix.records import Cut, CutTensor
from ft.prefix.split import bridge, prefix_of
from ft.proof import Proved
from ft.rows import Rows, Tensors

BESIDE = ("prefix", "computes", "cut", "backbone", "seconds")
"""What entries of one set of images, made in one way, may differ in."""
_LOOKED_AT = 4


def made_of_noise(prefix: fx.GraphModule, promise: Promise, job: Job) -> str:
    """A digest of what a prefix makes of a few images of noise."""
    side, generator = job.preprocessing.crop_size, torch.Generator().manual_seed(0)
    noise = torch.randint(256, (_LOOKED_AT, 3, side, side), dtype=torch.uint8, generator=generator)
    images = network_input(noise, job.preprocessing, job.machine)
    prepared = prepare_prefix(prefix, promise).to(job.machine.device)
    return computed_digest(prepared, images)


def find_shallower(
    store: FeatureStore, about: Mapping[str, Any], proved: Proved, promise: Promise, job: Job
) -> tuple[Entry, Callable[[Tensors], Tensors]] | None:
    """Return an entry of the same images whose cut lies before ours, and what computes our features from its rows.

    Of several the deepest, since least is left to compute. The entry's prefix must be a part of ours to the byte, and
    compute the same.
    """
    fitting = [entry for entry in store.entries() if _made_alike(entry.about, about)]
    for entry in sorted(fitting, key=lambda entry: -len(entry.about["cut"]["prefix_nodes"])):
        cut = _cut(entry.about["cut"])
        if not set(cut.prefix_nodes) < set(proved.cut.prefix_nodes):
            continue
        prefix = prefix_of(proved.observed, cut)
        if prefix_digest(prefix) != entry.about["prefix"]:
            continue
        if made_of_noise(prefix, promise, job) != entry.about["computes"]:
            continue
        module = bridge(proved.observed, cut, proved.cut)
        if module is not None:
            return entry, prepare_prefix(module, promise)
    return None


def padded_rows(kept: Rows, start: int, end: int, size: int) -> Tensors:
    """Rows `start` to `end`, the last one repeated until there are `size`."""
    return kept.take(torch.arange(start, start + size).clamp(max=end - 1))


def _made_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {k: v for k, v in one.items() if k not in BESIDE} == {k: v for k, v in other.items() if k not in BESIDE}


def _cut(saved: Mapping[str, Any]) -> Cut:
    tensors = tuple(CutTensor(**{**each, **_tuples(each, "shape", "order", "stride")}) for each in saved["tensors"])
    return Cut(**{**saved, "tensors": tensors, "barriers": (), "prefix_nodes": tuple(saved["prefix_nodes"])})


def _tuples(saved: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: None if saved[name] is None else tuple(saved[name]) for name in names}
