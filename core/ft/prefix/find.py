"""The steps in sequence: from a module as it will train to a cut, and from the cut to the two halves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ft.prefix.cut import choose_cut
from ft.prefix.graph import NotTraceable, evaluating, to_graph
from ft.prefix.legality import mark
from ft.prefix.observe import BATCH, Observed, observe
from ft.prefix.probe import batch_sensitive, probe_batch_invariance
from ft.prefix.records import Cut, NoCut, Price
from ft.prefix.split import Halves, split


@dataclass(frozen=True, eq=False)
class FrozenPrefix:
    """A cut, which is pure data, and the graph it lies in."""

    cut: Cut
    observed: Observed


def find_prefix(
    module: nn.Module,
    frozen: Collection[str],
    image_shape: tuple[int, ...],
    price: Price | None = None,
    *,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> FrozenPrefix | NoCut:
    """Return where to cut `module` when the parameters named `frozen` never change.

    The module is prepared as it will train: its modes set, its weights in `memory_format`. `image_shape` is [3, S, S].
    """
    try:
        observed = _look_at(module, image_shape, memory_format)
    except NotTraceable as error:
        return NoCut(str(error))
    return FrozenPrefix(choose_cut(observed, mark(observed, frozen), price or Price()), observed)


def steady(
    found: FrozenPrefix,
    frozen: Collection[str],
    images: torch.Tensor,
    batch_sizes: Sequence[int],
    price: Price | None = None,
) -> FrozenPrefix:
    """Return `found`, its cut moved before whatever computes an image differently in another batch.

    What *exact* needs: features come from other batches than those they are trained in. `images` and `batch_sizes` are
    those of `probe_batch_invariance`, which has the last word: no trial of some images speaks for all.
    """
    observed = found.observed
    sensitive: dict[str, str] = {}
    while probe_batch_invariance(split(observed, found.cut).prefix, images, batch_sizes):
        more = batch_sensitive(observed, images, batch_sizes)
        if more.keys() <= sensitive.keys():
            break
        sensitive |= more
        found = FrozenPrefix(choose_cut(observed, mark(observed, frozen, sensitive), price or Price()), observed)
    return found


def split_module(found: FrozenPrefix) -> Halves:
    """Build the halves of the module that `found` was found in, for training and, where possible, for validation."""
    module = found.observed.graph.original
    images = found.observed.facts[found.observed.graph.images.name].value
    memory_format = torch.contiguous_format if images.stride[-1] == 1 else torch.channels_last
    try:
        with evaluating(module):
            in_eval = _look_at(module, images.shape[1:], memory_format)
    except NotTraceable:
        in_eval = None
    return split(found.observed, found.cut, in_eval)


def _look_at(module: nn.Module, image_shape: tuple[int, ...], memory_format: torch.memory_format) -> Observed:
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    example = torch.empty((BATCH, *image_shape), device=device).to(memory_format=memory_format)
    return observe(to_graph(module, example), image_shape, memory_format)
