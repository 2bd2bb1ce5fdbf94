"""What only a trial can tell, made once at start on real images.

torch does not promise that a batch and a slice of it are computed bit for bit alike, that no layer of anyone's making
looks across the batch, nor that a trace saw everything; so look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten

from ft.machine.memory import is_out_of_memory
from ft.prefix.digest import tensor_bytes
from ft.prefix.graph import first_line
from ft.prefix.nearness import Nearness, apart, nearness
from ft.prefix.records import Tensors
from ft.prefix.split import Halves
from ft.prefix.state import attributes_kept, evaluating, noted, state_kept

ROUNDING = 0.05
"""How far apart, beside what tells images apart, may be what was computed in fp32 in another sequence, also by a GPU
that rounds what it multiplies to 10 bits (TF32); on a processor it is a millionth. Of gradients it is their norm."""
BESIDE = "depends on the images that share its batch"


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


def batchwise(prefix: Callable[[torch.Tensor], Tensors], images: torch.Tensor, size: int) -> list[Tensors]:
    """What `prefix` gives, in inference mode, for each batch of `size` of the images, in their order."""
    with torch.inference_mode():
        rows = torch.arange(len(images))
        return [prefix(take(images, rows[start : start + size])) for start in range(0, len(images), size)]


def probe_batch_invariance(
    prefix: Callable[[torch.Tensor], Tensors],
    images: torch.Tensor,
    batch_sizes: Sequence[int],
    expected: Tensors | None = None,
) -> str | None:
    """Return None if an image's features have the same bits wherever, and beside whatever, it lies in a batch.

    Otherwise say what differed. `images` [N, 3, S, S] are in the layout of the feature pass, N (2 or more) its batch
    size; `batch_sizes` are those to try: of the loop that must be equalled, just N if it fills short batches
    (`run_padded`). `expected` is what `prefix` gives for `images`, where that is known.
    """
    with torch.inference_mode():
        if expected is None:
            expected = prefix(images.clone())  # a network may write to its input
        for name, rows in trials(len(images), batch_sizes):
            found = prefix(take(images, rows))
            if not all(same_bits(e[rows], f) for e, f in zip(expected, found, strict=True)):
                return name
    return None


def probe_shuffled(
    prefix: Callable[[torch.Tensor], Tensors],
    images: torch.Tensor,
    size: int,
    expected: Sequence[Tensors] | None = None,
) -> str | None:
    """Return None if shuffling images between batches of `size` changes no bit of their features, else what happened.

    `images` [N, 3, S, S] are several batches. What rounds differently does so for some images and neighbours only, so
    this looks at more of both than `probe_batch_invariance` does. `expected` is what `batchwise` gives for them, where
    that is known.
    """

    def whole(batches: Sequence[Tensors]) -> Tensors:
        return tuple(torch.cat(tensors) for tensors in zip(*batches, strict=True))

    with torch.inference_mode():
        features = whole(batchwise(prefix, images, size) if expected is None else expected)
        for order in shuffles(len(images)):
            found = whole(batchwise(prefix, take(images, order), size))
            if not all(same_bits(e[order], f) for e, f in zip(features, found, strict=True)):
                return BESIDE
    return None


def probe_loosely(
    prefix: Callable[[torch.Tensor], Tensors],
    prepared: Callable[[torch.Tensor], Tensors],
    images: torch.Tensor,
    expected: Tensors,
    limit: Nearness,
) -> str | None:
    """Return None if what `prepared` gives is as near to what `prefix` gives, `expected`, as `limit` says, and that is
    an image's own.

    Otherwise say what differed. `images` [N, 3, S, S] are in the layout of the feature pass, N is 4 or more.
    """
    last = len(images) - 1
    rows = torch.tensor([last, last, last - 1])
    with torch.inference_mode():
        if apart(prefix(take(images, rows)), tuple(tensor[rows] for tensor in expected), expected) > ROUNDING:
            return BESIDE
        try:
            near = nearness(prepared(images.clone()), expected)
        except RuntimeError as error:  # the network's own code fixes a type, which rounding changes
            if is_out_of_memory(error):
                raise
            return f"is not computed in its prepared form ({first_line(error)})"
    if near.within(limit):
        return None
    return f"{near} ({limit.spread:.0%} and {limit.answers:.0%} are allowed)"


def probe_validation(
    module: nn.Module, halves: Halves, images: torch.Tensor, tolerance: float, kept: Tensors | None = None
) -> str | None:
    """Return None if in eval mode the halves give what `module` does, to `tolerance` (0: in every bit).

    `kept` is what the prefix gives for `images`, where that is known: in the modes that features are computed in.
    Modes, buffers and generators are left as they were.
    """
    suffix = halves.suffix_eval
    assert suffix is not None
    if kept is None:
        with torch.inference_mode():
            kept = halves.prefix(images.clone())
    with evaluating(module), torch.no_grad():
        with state_kept(module):
            whole = module(images.clone())
        with state_kept(module):
            found = suffix(tuple(tensor.clone() for tensor in kept))
    alike = same_bits(whole, found) if tolerance == 0 else apart((found,), (whole,), (whole,)) <= tolerance
    return None if alike else "what validation computes differs between the whole network and its halves"


def probe_equality(
    module: nn.Module, halves: Halves, images: torch.Tensor, tolerance: float = 0, kept: Tensors | None = None
) -> str | None:
    """Return None if one step through the halves equals one through `module`, else what differs first.

    Outputs, gradients of trainable parameters and changed buffers are compared, in the modes the module is in: in every
    bit, or, all of a kind together, to a `tolerance`. The step through the halves begins, as every later one will, with
    what was `kept` before of the prefix, where that is given. Buffers, gradients and all generators are left as they
    were.
    """
    whole, passes = _step(module, lambda: module(images.clone()))

    def through_halves() -> Any:
        given = kept
        if given is None:
            with attributes_kept(module), torch.inference_mode():
                given = halves.prefix(images.clone())
        return halves.suffix(tuple(tensor.clone() for tensor in given))

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


def shuffles(number: int) -> list[torch.Tensor]:
    """The orders in which images are computed anew."""
    return [torch.randperm(number, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def trials(size: int, batch_sizes: Sequence[int]) -> list[tuple[str, torch.Tensor]]:
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


def take(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """These rows, in the layout of `images`."""
    return images[rows].contiguous(memory_format=_format_of(images))


def _format_of(images: torch.Tensor) -> torch.memory_format:
    plain = images.is_contiguous() or not images.is_contiguous(memory_format=torch.channels_last)
    return torch.contiguous_format if plain else torch.channels_last
