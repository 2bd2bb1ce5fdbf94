"""Among all legal cuts, the cheapest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import torch

from ft.prefix.choose import Item, cheapest
from ft.prefix.layout import is_constant, layout_of
from ft.prefix.legality import Legality, written_outside
from ft.prefix.observe import Facts, Observed, TensorFact
from ft.prefix.records import Cut, CutTensor, Price

KEEPABLE = (
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
"""What can be kept; complex numbers, for one, cannot."""


def choose_cut(observed: Observed, legality: Legality, price: Price) -> Cut:
    """Return the cheapest cut at `price`; the shallowest keeps decoded images (uint8) and computes nothing once."""
    free = unneeding_images(observed, legality)
    items = _items(observed, legality, price, free)
    flops = {name: facts.flops for name, facts in observed.facts.items() if name not in free}
    images = observed.graph.images.name

    def cut(inside: Collection[str], tensors: tuple[CutTensor, ...]) -> Cut:
        nodes = tuple(item.name for item in items if item.name in inside and not item.given)
        prefix = sum(flops[name] for name in nodes)
        missed = sum(flops[item.name] for item in items) - prefix
        kept = sum(tensor.bytes for tensor in tensors)
        return Cut(
            tensors=tensors,
            prefix_flops=prefix,
            suffix_flops=sum(flops.values()) - prefix,
            seconds=price.keeping(kept) + price.recomputing(missed),
            barriers=legality.barriers,
            prefix_nodes=nodes,
        )

    inside = _inside(observed, items)
    features = tuple(
        _cut_tensor(observed, name)
        for name in _crossing(items, inside)
        if isinstance(observed.facts[name].value, TensorFact)
    )
    pixels = replace(_cut_tensor(observed, images), dtype="uint8")
    pixels = replace(pixels, bytes=math.prod(pixels.shape))
    return min(cut({images}, (pixels,)), cut(inside, features), key=lambda either: either.seconds)


def unneeding_images(observed: Observed, legality: Legality) -> frozenset[str]:
    """Frozen nodes that depend on no image and whose memory nobody changes: either half may run them, none crosses."""
    written = {storage for facts in observed.facts.values() for storage in facts.writes}
    free: set[str] = set()
    for node in observed.graph.nodes:
        own = node.name in legality.frozen and node is not observed.graph.images
        if own and legality.needs[node.name] <= free and not observed.facts[node.name].makes & written:
            free.add(node.name)
    return frozenset(free)


def _items(observed: Observed, legality: Legality, price: Price, free: Collection[str]) -> list[Item]:
    return [
        Item(
            name=node.name,
            work=price.recomputing(observed.facts[node.name].flops),
            keep=_keep(observed.facts[node.name], price),
            needs=legality.needs[node.name].difference(free),
            readers=frozenset(user.name for user in node.users),
            given=node is observed.graph.images,
        )
        for node in observed.graph.nodes
        if node.name in legality.frozen and node.name not in free
    ]


def _inside(observed: Observed, items: list[Item]) -> frozenset[str]:
    """The cheapest choice in which no two tensors cross that are one memory, which the rest then writes to."""
    while True:
        inside = cheapest(items)
        crossing = _crossing(items, inside)
        times = Counter(storage for name in crossing for storage in observed.facts[name].makes)
        torn = {
            name
            for name in crossing
            if written_outside(observed, name, inside) and any(times[s] > 1 for s in observed.facts[name].makes)
        }
        images = observed.graph.images.name
        if torn == {images}:
            return frozenset(torn)  # decoded images are cheaper than these
        torn.discard(images)  # which need not be kept where they are given
        if not torn:
            return inside
        items = [item if item.name not in torn else replace(item, keep=math.inf) for item in items]


def _crossing(items: list[Item], inside: frozenset[str]) -> list[str]:
    return [item.name for item in items if item.name in inside and not item.readers <= inside]


def _keep(facts: Facts, price: Price) -> float:
    if is_constant(facts.value, facts.other):
        return 0.0
    if layout_of(facts.value, facts.other) is None or facts.value.dtype not in KEEPABLE:
        return math.inf
    return price.keeping(_bytes(facts.value))


def _bytes(tensor: TensorFact) -> int:
    return math.prod(tensor.shape[1:]) * tensor.dtype.itemsize


def _cut_tensor(observed: Observed, name: str) -> CutTensor:
    facts = observed.facts[name]
    layout = layout_of(facts.value, facts.other)
    assert layout is not None
    return CutTensor(
        node=name,
        path=facts.path,
        shape=facts.value.shape[1:],
        dtype=str(facts.value.dtype).removeprefix("torch."),
        bytes=_bytes(facts.value),
        order=layout.order,
        stride=layout.stride,
    )
