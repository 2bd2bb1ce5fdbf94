"""Features that were kept for a shallower freeze lead to those of a deeper one, without looking at an image again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from ft.cache.named_rows import Found, Shelf
from ft.cache.proof import Proved
from ft.data.transforms import network_input
from ft.job import Job
from ft.prefix.digest import computed_digest, prefix_digest
from ft.prefix.fold import Promise, prepare_prefix
from ft.prefix.records import Cut, CutTensor, Tensors
from ft.prefix.split import bridge, prefix_of

BESIDE = ("prefix", "computes", "kept")
"""What features that are otherwise made in one way may differ in."""
_LOOKED_AT = 4


def made_of_noise(prefix: fx.GraphModule, promise: Promise, job: Job) -> str:
    """A digest of what a prefix makes of a few images of noise."""
    side, generator = job.preprocessing.crop_size, torch.Generator().manual_seed(0)
    noise = torch.randint(256, (_LOOKED_AT, 3, side, side), dtype=torch.uint8, generator=generator)
    images = network_input(noise, job.preprocessing, job.machine)
    prepared = prepare_prefix(prefix, promise).to(job.machine.device)
    return computed_digest(prepared, images)


def find_shallower(
    shelf: Shelf,
    names: Sequence[bytes],
    wanted: Sequence[int],
    proved: Proved,
    promise: Promise,
    job: Job,
) -> tuple[Found, Callable[[Tensors], Tensors]] | None:
    """Return where the features of all `wanted` rows are for a cut that lies before ours, and what computes ours from
    them.

    Of several the deepest, since least is left to compute. Their prefix must be a part of ours to the byte, and compute
    the same.
    """
    fitting = [entry.about for entry in shelf.like(*BESIDE) if "cut" in entry.about]
    prefixes = {str([made[key] for key in BESIDE]): made for made in fitting}
    for made in sorted(prefixes.values(), key=lambda made: -len(made["cut"]["prefix_nodes"])):
        cut = _cut(made["cut"])
        if not set(cut.prefix_nodes) < set(proved.cut.prefix_nodes):
            continue
        prefix = prefix_of(proved.observed, cut)
        if prefix_digest(prefix) != made["prefix"]:
            continue
        if made_of_noise(prefix, promise, job) != made["computes"]:
            continue
        module = bridge(proved.observed, cut, proved.cut)
        if module is None:
            continue
        shallower = replace(shelf, about={**shelf.about, **{key: made[key] for key in BESIDE}})
        found = shallower.find(names, wanted)
        if set(wanted).isdisjoint(found.missing):
            return found, prepare_prefix(module, promise)
    return None


def _cut(saved: Mapping[str, Any]) -> Cut:
    tensors = tuple(CutTensor(**{**each, **_tuples(each, "shape", "order", "stride")}) for each in saved["tensors"])
    return Cut(**{**saved, "tensors": tensors, "barriers": (), "prefix_nodes": tuple(saved["prefix_nodes"])})


def _tuples(saved: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: None if saved[name] is None else tuple(saved[name]) for name in names}
