"""The steps in sequence: from a module as it will train to a cut, and from the cut to the two halves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from ft.prefix.boundaries import boundaries, record, with_values
from ft.prefix.cut import choose_cut
from ft.prefix.graph import Autocast, NotTraceable, arithmetic, first_line, random_images, refuse_hooks, to_graph
from ft.prefix.legality import mark
from ft.prefix.observe import BATCH, Observed, observe
from ft.prefix.probe import probe_batch_invariance
from ft.prefix.records import Cut, NoCut, Price
from ft.prefix.sections import graph_of_sections
from ft.prefix.sensitive import batch_sensitive, of_their_kind, shuffle_sensitive
from ft.prefix.split import Halves, split
from ft.prefix.state import evaluating


@dataclass(frozen=True, eq=False)
class FrozenPrefix:
    """A cut, which is pure data, and the graph it lies in."""

    cut: Cut
    observed: Observed


@dataclass(frozen=True)
class Conditions:
    """Under what a network will run: its weights and images in `memory_format`, every step under `autocast`.

    The prefix will run under `computed_in`, by which what crosses the cut has its type.
    """

    memory_format: torch.memory_format = torch.contiguous_format
    autocast: Autocast = nullcontext
    computed_in: Autocast = nullcontext


PLAIN = Conditions()


def find_prefix(
    module: nn.Module,
    frozen: Collection[str],
    image_shape: tuple[int, ...],
    price: Price | None = None,
    under: Conditions = PLAIN,
) -> FrozenPrefix | NoCut:
    """Return where to cut `module` when the parameters named `frozen` never change.

    The module is prepared as it will train, its modes set, and will run `under` these conditions. `image_shape` is
    [3, S, S]. What no tracer can follow, or only as one node that trains in part, is cut where one of its layers
    returns.
    """
    price = price or Price()
    try:
        found = _cheapest(_look_at(module, image_shape, under), frozen, price)
    except NotTraceable as error:
        return _at_boundary(module, frozen, image_shape, price, under) or NoCut(str(error))
    if any(barrier.path in found.observed.graph.opaque for barrier in found.cut.barriers):
        within = _at_boundary(module, frozen, image_shape, price, under)
        if within is not None and within.cut.seconds < found.cut.seconds:
            return within
    return found


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
    sensitive = _sensitive(found)
    while probe_batch_invariance(split(observed, found.cut).prefix, images, batch_sizes):
        more = batch_sensitive(observed, images, batch_sizes)
        if more.keys() <= sensitive.keys():
            break
        sensitive |= of_their_kind(observed, more) | more
        found = _before(found, frozen, sensitive, price)
    return found


def earlier(
    found: FrozenPrefix,
    frozen: Collection[str],
    images: torch.Tensor,
    size: int,
    why: str,
    price: Price | None = None,
) -> FrozenPrefix:
    """Return `found`, its cut moved to where its proof, which failed as `why` says, may succeed.

    That is before whatever computes an image differently when `images` are shuffled between batches of `size`, and
    before all of its kind; where nothing within does, before the second half of what was to be computed once.
    """
    inside = found.cut.prefix_nodes
    seen = shuffle_sensitive(found.observed, images, size)
    if seen.keys().isdisjoint(inside):
        return _before(found, frozen, dict.fromkeys(inside[len(inside) // 2 :], f"is not proved ({why})"), price)
    return _before(found, frozen, of_their_kind(found.observed, seen) | seen, price)


def _sensitive(found: FrozenPrefix) -> dict[str, str]:
    """The nodes before which the cut of `found` was moved by trials, and why: what needs them is out of it anyway."""
    return {barrier.node: barrier.reason for barrier in found.cut.barriers if barrier.kind == "batch"}


def _before(
    found: FrozenPrefix, frozen: Collection[str], sensitive: Mapping[str, str], price: Price | None
) -> FrozenPrefix:
    """`found`, its cut moved before the nodes `sensitive`, too."""
    legality = mark(found.observed, frozen, _sensitive(found) | dict(sensitive))
    return FrozenPrefix(choose_cut(found.observed, legality, price or Price()), found.observed)


def split_module(found: FrozenPrefix) -> Halves:
    """Build the halves of the module that `found` was found in, for training and, where possible, for validation."""
    module = found.observed.graph.original
    images = found.observed.facts[found.observed.graph.images.name].value
    memory_format = torch.contiguous_format if images.stride[-1] == 1 else torch.channels_last
    under = Conditions(memory_format, found.observed.graph.autocast, found.observed.computed_in)
    paths = found.observed.graph.boundaries
    try:
        with evaluating(module), _no_autocast():
            if paths is None:
                in_eval = _look_at(module, images.shape[1:], under)
            else:
                in_eval = _look_between(module, images.shape[1:], under, paths)
    except NotTraceable:
        in_eval = None
    return split(found.observed, found.cut, in_eval)


@contextmanager
def _no_autocast() -> Iterator[None]:
    """A block in which autocast is off, as it was when the cut was looked for: what it does would look like another
    network."""
    with ExitStack() as stack:
        for kind in arithmetic():
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def _cheapest(observed: Observed, frozen: Collection[str], price: Price) -> FrozenPrefix:
    return FrozenPrefix(choose_cut(observed, mark(observed, frozen), price), observed)


def _at_boundary(
    module: nn.Module,
    frozen: Collection[str],
    image_shape: tuple[int, ...],
    price: Price,
    under: Conditions,
) -> FrozenPrefix | None:
    """The cheapest cut at a module boundary, None where there is none that is worth it."""
    try:
        refuse_hooks(module)
        module = with_values(module)
        all_calls = boundaries(
            module, record(module, random_images(module, (BATCH, *image_shape), under.memory_format))
        )
        # A block and its last layer often return the same thing: the block, which returns later, speaks for both.
        paths = list({call.operations: path for path, call in all_calls.items()}.values())
        look = partial(_look_between, module, image_shape, under)
        cut = _cheapest(_between_most(look, paths), frozen, price).cut
        last = [tensor.path for tensor in cut.tensors if tensor.path in paths]
        if not last:
            return None
        # Of the chain, two links: each runs the network's own code once, so what has effects there has them once.
        found = _cheapest(look(last), frozen, price)
    except NotTraceable:
        return None
    if found.cut.keeps_images:
        return None
    return replace(found, cut=replace(found.cut, barriers=cut.barriers))


def _look_at(module: nn.Module, image_shape: tuple[int, ...], under: Conditions) -> Observed:
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    example = torch.empty((BATCH, *image_shape), device=device).to(memory_format=under.memory_format)
    graph = to_graph(module, example, under.autocast)
    return observe(graph, image_shape, under.memory_format, under.computed_in)


def _between_most(look: Callable[[Sequence[str]], Observed], paths: Sequence[str]) -> Observed:
    """What `look` sees between as many of the first boundaries as possible.

    Code before a boundary may need what is not there once it is skipped. Behind a later boundary all of it is run
    again, and more, so what fails there has failed for all later ones: bisect.
    """
    try:
        return look(paths)
    except NotTraceable:
        best, works, fails = look(()), 0, len(paths)
    while fails - works > 1:
        middle = (works + fails) // 2
        try:
            best = look(paths[:middle])
        except NotTraceable:
            fails = middle
        else:
            works = middle
    return best


def _look_between(module: nn.Module, image_shape: tuple[int, ...], under: Conditions, paths: Sequence[str]) -> Observed:
    images = random_images(module, (BATCH, *image_shape), under.memory_format)
    try:
        graph = graph_of_sections(module, images, paths)
    except NotTraceable:
        raise
    except Exception as error:  # of code that is not ours, which need not bear being copied
        raise NotTraceable(first_line(error)) from error
    return observe(graph, image_shape, under.memory_format, under.computed_in)
