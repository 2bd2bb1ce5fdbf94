"""What only a trial can tell, made once at start on real images.

torch does not promise that a batch and a slice of it are computed bit for bit alike, that no layer of anyone's making
looks across the batch, nor that a trace saw everything; so look.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_flatten

from ft.memory import is_out_of_memory
from ft.prefix.digest import tensor_bytes
from ft.prefix.graph import first_line
from ft.prefix.layout import layout_of
from ft.prefix.nearness import Nearness, apart, nearness
from ft.prefix.observe import Observed, TensorFact
from ft.prefix.split import Halves
from ft.prefix.state import attributes_kept, evaluating, noted, state_kept
from ft.rows import Tensors

ROUNDING = 0.05
"""How far apart, beside what tells images apart, may be what was computed in fp32 in another sequence, also by a GPU
that rounds what it multiplies to 10 bits (TF32); on a processor it is a millionth. Of gradients it is their norm."""
COMPARED = 4
"""Rows of a batch that `batch_sensitive` hashes at every node; all of them would take long."""


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors agree in type, shape and every bit (NaN equals itself, 0.0 is not -0.0)."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return tensor_bytes(one) == tensor_bytes(other)


def _norms(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """The norm of the difference of two tensors, infinity where none may be, and that of `other`, unless it counts."""
    if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
        return math.inf, 1.0
    x, y = one[one.isfinite()].cpu().double(), other[other.isfinite()].cpu().double()
    apart = float((x - y).norm())
    if apart > 0 and not one.is_floating_point():
        return math.inf, 1.0
    return apart, float(y.norm()) if one.is_floating_point() else 0.0


def run_padded(prefix: Callable[[torch.Tensor], Tensors], images: torch.Tensor, batch_size: int) -> Tensors:
    """Run `prefix` on up to `batch_size` images as if there were exactly that many: the last one is repeated.

    So every image is computed in a batch of one size. A short one can come out differently: linear layers and
    squeeze-and-excitation sum, and vectorized loops end, elsewhere. A loop without a cache that runs its short batches
    through this and the suffix equals one with a cache.
    """
    missing = batch_size - len(images)
    if missing <= 0:
        return prefix(images)
    filled = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])])
    filled = filled.contiguous(memory_format=_format_of(images))
    return tuple(tensor[: len(images)] for tensor in prefix(filled))


def probe_batch_invariance(
    prefix: Callable[[torch.Tensor], Tensors], images: torch.Tensor, batch_sizes: Sequence[int]
) -> str | None:
    """Return None if an image's features have the same bits wherever, and beside whatever, it lies in a batch.

    Otherwise say what differed. `images` [N, 3, S, S] are in the layout of the feature pass, N (2 or more) its batch
    size; `batch_sizes` are those to try: of the loop that must be equalled, just N if it fills short batches
    (`run_padded`).
    """
    with torch.inference_mode():
        expected = prefix(images.clone())  # a network may write to its input
        for name, rows in _trials(len(images), batch_sizes):
            found = prefix(_take(images, rows))
            if not all(same_bits(e[rows], f) for e, f in zip(expected, found, strict=True)):
                return name
    return None


def probe_shuffled(
    prefix: Callable[[torch.Tensor], Tensors], images: torch.Tensor, size: int, shuffles: int = 3
) -> str | None:
    """Return None if shuffling images between batches of `size` changes no bit of their features, else what happened.

    `images` [N, 3, S, S] are several batches. What rounds differently does so for some images and neighbours only, so
    this looks at more of both than `probe_batch_invariance` does.
    """

    def features(order: torch.Tensor) -> Tensors:
        batches = [prefix(_take(images, order[start : start + size])) for start in range(0, len(order), size)]
        return tuple(torch.cat(tensors) for tensors in zip(*batches, strict=True))

    with torch.inference_mode():
        expected = features(torch.arange(len(images)))
        for seed in range(shuffles):
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
            if not all(same_bits(e[order], f) for e, f in zip(expected, features(order), strict=True)):
                return "depends on the images that share its batch"
    return None


def probe_loosely(
    prefix: Callable[[torch.Tensor], Tensors],
    prepared: Callable[[torch.Tensor], Tensors],
    images: torch.Tensor,
    limit: Nearness,
) -> str | None:
    """Return None if what `prepared` gives is as near to the features of `prefix` as `limit` says, and those are an
    image's own.

    Otherwise say what differed. `images` [N, 3, S, S] are in the layout of the feature pass, N is 4 or more.
    """
    last = len(images) - 1
    rows = torch.tensor([last, last, last - 1])
    with torch.inference_mode():
        expected = prefix(images.clone())  # a network may write to its input
        if apart(prefix(_take(images, rows)), tuple(tensor[rows] for tensor in expected), expected) > ROUNDING:
            return "depends on the images that share its batch"
        try:
            near = nearness(prepared(images.clone()), expected)
        except RuntimeError as error:  # the network's own code fixes a type, which rounding changes
            if is_out_of_memory(error):
                raise
            return f"is not computed in its prepared form ({first_line(error)})"
    if near.within(limit):
        return None
    return f"{near} ({limit.spread:.0%} and {limit.answers:.0%} are allowed)"


def probe_validation(module: nn.Module, halves: Halves, images: torch.Tensor, tolerance: float) -> str | None:
    """Return None if in eval mode the halves give what `module` does, to `tolerance` (0: in every bit).

    Modes, buffers and generators are left as they were.
    """
    suffix = halves.suffix_eval
    assert suffix is not None
    with torch.inference_mode():
        kept = halves.prefix(images.clone())  # in the modes that features are computed in
    with evaluating(module), torch.no_grad():
        with state_kept(module):
            whole = module(images.clone())
        with state_kept(module):
            found = suffix(tuple(tensor.clone() for tensor in kept))
    alike = same_bits(whole, found) if tolerance == 0 else apart((found,), (whole,), (whole,)) <= tolerance
    return None if alike else "what validation computes differs between the whole network and its halves"


def batch_sensitive(observed: Observed, images: torch.Tensor, batch_sizes: Sequence[int]) -> dict[str, str]:
    """Return the nodes that fail `probe_batch_invariance`, and how, for `ft.prefix.legality.mark`.

    Only the last rows of each batch are looked at, where vectorized loops end and differences arise.
    """
    trials = [(name, rows, range(len(rows))[-COMPARED:]) for name, rows in _trials(len(images), batch_sizes)]
    wanted = {int(rows[place]) for _, rows, places in trials for place in places}
    expected = _row_digests(observed, images, wanted)
    sensitive: dict[str, str] = {}
    for name, rows, places in trials:
        for node, found in _row_digests(observed, _take(images, rows), places).items():
            if any(found[place] != expected[node][int(rows[place])] for place in places):
                sensitive.setdefault(node, name)
    return sensitive


def of_their_kind(observed: Observed, sensitive: Mapping[str, str]) -> dict[str, str]:
    """Return the nodes that do what the first of the `sensitive` ones do, to tensors of as many places; and how.

    Whether a layer of such a kind shows it depends on the values that reach it: some round alike either way.
    """
    first = [
        node
        for node in observed.graph.nodes
        if node.name in sensitive and not any(each.name in sensitive for each in node.all_input_nodes)
    ]
    kinds = {_kind(observed, node): sensitive[node.name] for node in reversed(first)}
    return {node.name: kinds[kind] for node in observed.graph.nodes if (kind := _kind(observed, node)) in kinds}


def _kind(observed: Observed, node: fx.Node) -> tuple[Any, ...]:
    """What a node does, and the dimensions of what it gives after images and channels."""
    module = observed.graph.module
    does = type(module.get_submodule(str(node.target))) if node.op == "call_module" else node.target
    value = observed.facts[node.name].value
    return does, value.shape[2:] if isinstance(value, TensorFact) else None


def probe_equality(module: nn.Module, halves: Halves, images: torch.Tensor, tolerance: float = 0) -> str | None:
    """Return None if one step through the halves equals one through `module`, else what differs first.

    Outputs, gradients of trainable parameters and changed buffers are compared, in the modes the module is in: in every
    bit, or, all of a kind together, to a `tolerance`. Its buffers, gradients and all generators are left as they were.
    """
    whole, passes = _step(module, lambda: module(images.clone()))

    def through_halves() -> Any:
        with attributes_kept(module), torch.inference_mode():
            kept = halves.prefix(images.clone())
        return halves.suffix(tuple(tensor.clone() for tensor in kept))

    parts, _ = _step(module, through_halves, passes)
    for kind, ours in whole.items():
        theirs = parts[kind]
        different = ours.keys() ^ theirs.keys()
        if not different and tolerance == 0:
            different = {name for name in ours if not same_bits(ours[name], theirs[name])}
        elif not different and kind == "output":
            different = {name for name, one in ours.items() if apart((theirs[name],), (one,), (one,)) > tolerance}
        elif not different:  # a gradient that is 0 but for rounding says nothing by itself
            norms = {name: _norms(theirs[name], ours[name]) for name in ours}
            allowed = tolerance * math.hypot(*(size for _, size in norms.values()))
            different = {name for name, (apart, _) in norms.items() if apart > allowed}
        if different:
            return f"{kind} {min(different)} differs between the whole network and its halves"
    return None


def _trials(size: int, batch_sizes: Sequence[int]) -> list[tuple[str, torch.Tensor]]:
    """Batches to compute anew, as rows of the first one, each after what it means if they come out differently."""
    rows = torch.arange(size)
    others = rows.clone()
    others[0] = size - 1
    full = (rows.roll(1), others) if size in batch_sizes else ()
    return [
        *(("depends on its place in the batch or on the images beside it", batch) for batch in full),
        *(
            (f"computes a batch of {short} and one of {size} differently", rows.roll(start)[:short])
            for short in sorted(set(batch_sizes) - {size})
            for start in (0, size // 3, 2 * size // 3)
        ),
    ]


def _row_digests(observed: Observed, images: torch.Tensor, rows: Collection[int]) -> dict[str, dict[int, bytes]]:
    """For each node whose value has a row an image: digests of `rows`."""
    with torch.no_grad(), state_kept(observed.graph.module):
        run = _Digests(observed, rows)
        run.run(images)
    return run.digests


class _Digests(fx.Interpreter):
    def __init__(self, observed: Observed, rows: Collection[int]) -> None:
        super().__init__(observed.graph.module)
        self.observed, self.rows = observed, rows
        self.digests: dict[str, dict[int, bytes]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        facts = self.observed.facts[n.name]
        if isinstance(value, torch.Tensor) and layout_of(facts.value, facts.other) is not None:
            self.digests[n.name] = {row: _digest(value[row]) for row in self.rows}
        return value


def _digest(tensor: torch.Tensor) -> bytes:
    return hashlib.sha1(tensor_bytes(tensor), usedforsecurity=False).digest()


def _step(
    module: nn.Module, forward: Callable[[], Any], passes: int | None = None
) -> tuple[dict[str, dict[str, torch.Tensor]], int]:
    """What a training step gives and changes, by its kind and its name, and after how many forward passes: two where
    the first one leaves something behind, by which the next may do something else."""
    parameters = dict(module.named_parameters())
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    try:
        with state_kept(module):
            module.zero_grad(set_to_none=True)
            known = noted(module) if passes is None else None
            given = forward()
            passes = passes or (1 if noted(module) == known else 2)
            if passes == 2:
                given = forward()
            outputs = [leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, torch.Tensor)]
            learning = [output.square().sum() for output in outputs if output.requires_grad]
            if learning:
                torch.autograd.backward(learning)
            seen = {
                "output": {str(number): output.detach() for number, output in enumerate(outputs)},
                "the gradient of": {name: p.grad for name, p in parameters.items() if p.grad is not None},
                "the buffer": {name: buffer.clone() for name, buffer in module.named_buffers()},
            }
    finally:
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
    return seen, passes


def _take(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return images[rows].contiguous(memory_format=_format_of(images))


def _format_of(images: torch.Tensor) -> torch.memory_format:
    plain = images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last)
    return torch.contiguous_format if plain else torch.channels_last
