"""What every node of a graph does, seen by running it on tensors without data.

Each node runs once on fake tensors (shapes, strides and storages, no memory) while every operation that reaches torch's
dispatcher is looked at. That shows what no list of known layers could, for layers of anyone's making: which stored
tensors are read and written, whether random numbers are drawn (torch tags such operations), whether a normalisation
takes the statistics of the batch, and how many FLOPs it costs. A second run with another batch size shows what depends
on it. What could not be traced may need values: parts between module boundaries run on real tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

from ft.machine.randomness import random_state_kept
from ft.machine.turns import changing_how_networks_run
from ft.prefix.graph import Autocast, Graph, NotTraceable, arithmetic, first_line, random_images
from ft.prefix.state import (
    attributes_kept,
    buffers_kept,
    changed_since,
    memories_of,
    python_random_state,
)
from ft.prefix.watch import Peeks, Seen, Watch, storage_of, storages_of

BATCH, OTHER_BATCH = 2, 3


@dataclass(frozen=True)
class TensorFact:
    """A tensor's form, without its data."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Facts:
    """What a node does. Storages are numbers; `Observed.stored` names those of parameters and buffers.

    `value` and `other` are its value for batches of BATCH and OTHER_BATCH images, tensors as `TensorFact`.
    `reads` counts stored tensors only, `writes` everything that was there before the node ran. `decides` says that
    Python looked at the value of a tensor, `remembers` names an attribute that a layer set on itself.
    """

    path: str
    value: Any
    other: Any
    makes: frozenset[int] = frozenset()
    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()
    flops: int = 0
    draws: str | None = None
    statistics: bool = False
    decides: bool = False
    remembers: str | None = None


@dataclass(frozen=True, eq=False)
class Observed:
    """A graph and what its nodes do; `stored` maps a storage to the names of the tensors that lie in it.

    Values have the types that they are given under `computed_in`.
    """

    graph: Graph
    facts: Mapping[str, Facts]
    stored: Mapping[int, tuple[str, ...]]
    computed_in: Autocast = nullcontext


def observe(
    graph: Graph,
    image_shape: tuple[int, ...],
    memory_format: torch.memory_format,
    computed_in: Autocast = nullcontext,
) -> Observed:
    """Run every node of `graph` on fake images [N, *image_shape] under `computed_in`, or where it does not run there,
    as it is. Touches no tensor, no mode, no generator.

    Raises NotTraceable when a node's outcome depends on the values of tensors and the graph was traced.
    """
    run = _run if graph.boundaries is None else _run_for_real
    try:
        with random_state_kept(), attributes_kept(graph.original), _quiet(), torch.no_grad(), computed_in():
            # Multi-head attention's fast path is one operation that hides its parts; it is let through the second
            # time, whose strides are those that a frozen layer in eval mode will have.
            with _fast_path(False):
                first = run(graph, (BATCH, *image_shape), memory_format)
            second = run(graph, (OTHER_BATCH, *image_shape), memory_format)
    except Exception as error:
        if computed_in is not nullcontext:  # what follows the prefix need not bear it
            return observe(graph, image_shape, memory_format)
        raise NotTraceable(f"its shapes cannot be derived ({first_line(error)})") from error
    facts = {}
    for node in graph.nodes:
        seen = first.seen[node]
        facts[node.name] = Facts(
            path=path_of(node),
            value=seen.value,
            other=second.seen[node].value,
            makes=seen.makes,
            reads=frozenset(seen.touched & first.stored.keys()),
            writes=frozenset(seen.writes),
            flops=seen.flops // BATCH,
            draws=seen.draws,
            statistics=seen.statistics,
            decides=seen.decides,
            remembers=seen.remembers,
        )
    return Observed(graph, facts, first.stored, computed_in)


def path_of(node: fx.Node) -> str:
    """What a user calls a node: the path of the module it is, or lies in, and the operation's name."""
    if "path" in node.meta:
        return str(node.meta["path"])
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    inside = str(stack[-1][0]) if stack else ""
    inside = inside.removeprefix("L['self'].")
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    return ".".join(part for part in (inside, name) if part)


class _Run(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, watch: Watch, known: set[int]) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.watch, self.known = watch, known
        self.seen: dict[fx.Node, Seen] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.watch.node = seen = self.seen[n] = Seen()
        held = self.module.get_submodule(str(n.target)) if n.op == "call_module" else nn.Module()
        memories, before = memories_of(held), python_random_state()
        value = super().run_node(n)
        if python_random_state() != before:
            seen.draws = "Python"
        if (changed := changed_since(memories, held)) is not None:
            seen.remembers = changed[1]
        seen.value = tree_map(_describe, value)
        seen.makes = frozenset(storages_of(value))
        if n.op == "get_attr":
            seen.touched |= seen.makes
        # Whatever a layer holds counts as read, whether or not an operation was seen to read it.
        seen.touched |= storages_of([*held.parameters(), *held.buffers()])
        seen.writes &= self.known
        self.known |= seen.makes
        return value


class _Wrapper(nn.Module):
    """Runs a graph node by node inside `functional_call`, which swaps stored tensors for fake ones."""

    def __init__(self, module: fx.GraphModule, run: _Run) -> None:
        super().__init__()
        self.inner = module
        self.run = run

    def forward(self, images: torch.Tensor) -> Any:
        return self.run.run(images)


class _Outcome(NamedTuple):
    seen: dict[fx.Node, Seen]
    stored: dict[int, tuple[str, ...]]


def _run(graph: Graph, shape: tuple[int, ...], memory_format: torch.memory_format) -> _Outcome:
    own = _tensors(graph.module)
    tensors = {**own, **_tensors(graph.original)}
    like = next((t for t in tensors.values() if t.is_floating_point()), torch.empty(0))
    with FakeTensorMode(allow_non_fake_inputs=True) as fakes:
        stand_ins = _stand_ins(fakes, tensors)
        stored: dict[int, tuple[str, ...]] = {}
        for name, fake in stand_ins.items():
            storage = storage_of(fake)
            stored[storage] = (*stored.get(storage, ()), name)
        watch = Watch()
        run = _Run(graph.module, watch, set(stored))
        wrapper = _Wrapper(graph.module, run)
        device = _computing_device(like)
        images = torch.empty(shape, dtype=like.dtype, device=device).to(memory_format=memory_format)
        with watch:
            torch.func.functional_call(wrapper, {f"inner.{name}": stand_ins[name] for name in own}, (images,))
    return _Outcome(run.seen, stored)


def _run_for_real(graph: Graph, shape: tuple[int, ...], memory_format: torch.memory_format) -> _Outcome:
    stored: dict[int, tuple[str, ...]] = {}
    for name, tensor in {**_tensors(graph.original), **_tensors(graph.module)}.items():
        storage = storage_of(tensor)
        stored[storage] = (*stored.get(storage, ()), name)
    watch = Watch()
    run = _Run(graph.module, watch, set(stored))
    images = random_images(graph.original, shape, memory_format)
    with buffers_kept(graph.original), Peeks(watch), watch:
        run.run(images)
    return _Outcome(run.seen, stored)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    parameters, buffers = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    return {**dict(parameters), **dict(buffers)}


def _stand_ins(fakes: FakeTensorMode, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A fake for each stored tensor; tensors over the same memory get fakes over the same storage."""
    first_at: dict[int, torch.Tensor] = {}
    memories: dict[int, torch.Tensor] = {}
    result: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        address = tensor.untyped_storage().data_ptr() or tensor.untyped_storage()._cdata
        if tensor.is_meta:
            kept, device = tensor.untyped_storage(), _computing_device(tensor)
            with fakes:
                memory = torch.empty(kept.nbytes(), dtype=torch.uint8, device=device)
                memory = memories.setdefault(address, memory).view(tensor.dtype)
                result[name] = memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
            continue
        first = first_at.setdefault(address, tensor)
        fake: torch.Tensor = fakes.from_tensor(tensor)
        if first.untyped_storage()._cdata != tensor.untyped_storage()._cdata:
            base = fakes.from_tensor(first)
            fake = base.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        result[name] = fake
    return result


def _computing_device(tensor: torch.Tensor) -> torch.device:
    """Where a tensor is computed with: one that has no data (a plan needs none) where autocast is on, since that has no
    effect on it elsewhere."""
    return torch.device(next(iter(arithmetic()), "meta")) if tensor.is_meta else tensor.device


def _describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return TensorFact(tuple(value.shape), tuple(value.stride()), value.dtype)
    return value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging a traceback of its own for an operation that fails: the exception says it all."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _fast_path(enabled: bool) -> Iterator[None]:
    with changing_how_networks_run():
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(enabled)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(before)
