"""Module boundaries: where a network can be cut whose forward pass no tracer can follow.

One forward pass on a few images is recorded: when each layer was called, and when every operation touched which memory.
A layer is a boundary when all that the rest of the pass touches, of what had been computed until it returned, is what
it returned. That much a compiler calls liveness (Aho et al., "Compilers", 2nd ed., section 9.2.5), seen instead of
derived. `ft.prefix.sections` makes modules of what lies between boundaries.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ft.prefix.digest import tensor_bytes
from ft.prefix.graph import NotTraceable, first_line
from ft.prefix.state import attributes_of, state_kept
from ft.prefix.watch import storage_of


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a layer: when it began and ended, by a clock that ticks at every call, return and operation.

    `operations` is how many had run when it ended.
    """

    begin: int
    end: int
    operations: int
    output: Any


@dataclass(eq=False)
class Recording:
    """What one forward pass did.

    `touched` says when operations read or wrote a storage, `operations` when which ran on what, both in sequence, and
    `rebound` which layers set attributes of their own.
    """

    images: torch.Tensor
    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    touched: dict[int, list[int]] = field(default_factory=dict)
    operations: list[tuple[int, str]] = field(default_factory=list)
    rebound: set[nn.Module] = field(default_factory=set)


def record(module: nn.Module, images: torch.Tensor) -> Recording:
    """Run `module` on `images` [N, 3, S, S], leaving its tensors, its attributes and all generators as they were.

    Raises NotTraceable when it fails.
    """
    recording = Recording(images)
    before = {layer: attributes_of(layer) for layer in module.modules()}
    try:
        with state_kept(module), torch.no_grad():
            with _noted(module, recording):
                module(images.clone())
            recording.rebound.update(
                layer for layer, attributes in before.items() if not _alike(attributes, attributes_of(layer))
            )
    except Exception as error:
        raise NotTraceable(f"it fails on random images ({first_line(error)})") from error
    return recording


def with_values(module: nn.Module) -> nn.Module:
    """`module`, or where its tensors have no data (a plan needs none), a copy in which they have some.

    Raises NotTraceable when it cannot be copied.
    """
    if not any(tensor.is_meta for tensor in itertools.chain(module.parameters(), module.buffers())):
        return module
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # of code that is not ours
        raise NotTraceable(f"it cannot be copied ({first_line(error)})") from error
    generator = torch.Generator().manual_seed(0)
    made: dict[int, torch.Tensor] = {}
    for layer in copied.modules():
        for name, tensor in layer._parameters.items():
            if tensor is not None and id(tensor) not in made:
                value = torch.empty_like(tensor, device="cpu").normal_(0, 0.02, generator=generator)
                made[id(tensor)] = nn.Parameter(value, requires_grad=tensor.requires_grad)
            layer._parameters[name] = None if tensor is None else made[id(tensor)]  # type: ignore[assignment]
        for name, buffer in layer._buffers.items():
            if buffer is not None and id(buffer) not in made:  # a variance has to be above 0, and an index small
                made[id(buffer)] = torch.full_like(buffer, 1 if buffer.is_floating_point() else 0, device="cpu")
            layer._buffers[name] = None if buffer is None else made[id(buffer)]
    return copied


def boundaries(module: nn.Module, recording: Recording) -> dict[str, Call]:
    """The paths of all layers at whose return `module` can be cut, in the sequence of their returns."""
    stored = {storage_of(tensor) for tensor in itertools.chain(module.parameters(), module.buffers())}
    spans = {s: (times[0], times[-1]) for s, times in recording.touched.items() if s not in stored}
    found: dict[str, Call] = {}
    for path, layer in module.named_modules():
        calls = recording.calls.get(layer, [])
        if path and len(calls) == 1 and _can_cross(calls[0].output, len(recording.images)):
            end, own = calls[0].end, storage_of(calls[0].output)
            if not any(first < end < last for storage, (first, last) in spans.items() if storage != own):
                found[path] = calls[0]
    return dict(sorted(found.items(), key=lambda each: each[1].end))


def _can_cross(value: Any, batch_size: int) -> bool:
    """Whether a value is one tensor with a row for each image, and all that lies in its memory."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.dim():
        return False
    return value.shape[0] == batch_size and value.numel() * value.itemsize == value.untyped_storage().nbytes()


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(value is other[name] for name, value in one.items())


class _Clock(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation. Tensors are named: stored ones as the module does, others by when they appeared."""

    def __init__(self, module: nn.Module, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = recording
        self.now = 0
        stored = itertools.chain(
            module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
        )
        self.names = {id(tensor): name for name, tensor in stored}
        self.alive: list[torch.Tensor] = []  # or what is given back would be taken for what comes to lie there

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tree_map_only(torch.Tensor, self._given, (args, kwargs))
        result = func(*args, **(kwargs or {}))
        self.now += 1
        made = tree_map_only(torch.Tensor, self._name, result)
        self.recording.operations.append((self.now, f"{made} = {func}{given}"))
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor):
                self.recording.touched.setdefault(storage_of(leaf), []).append(self.now)
        return result

    def _name(self, tensor: torch.Tensor) -> str:
        self.alive.append(tensor)
        return self.names.setdefault(id(tensor), f"%{len(self.names)} {tensor.dtype} {list(tensor.shape)}")

    def _given(self, tensor: torch.Tensor) -> str:
        if id(tensor) in self.names:
            return self.names[id(tensor)]
        # Neither stored nor computed: a constant of the network's own code, which nobody else would look at.
        return f"{self._name(tensor)} {hashlib.sha256(tensor_bytes(tensor)).hexdigest()}"


@contextmanager
def _noted(module: nn.Module, recording: Recording) -> Iterator[None]:
    """A block in which calls and operations are written to `recording`."""
    clock = _Clock(module, recording)
    begun: list[int] = []

    def before(layer: nn.Module, args: Any) -> None:
        clock.now += 1
        begun.append(clock.now)

    def after(layer: nn.Module, args: Any, output: Any) -> None:
        clock.now += 1
        call = Call(begun.pop(), clock.now, len(recording.operations), output)
        recording.calls.setdefault(layer, []).append(call)

    with ExitStack() as stack:
        for layer in module.modules():
            for handle in (layer.register_forward_pre_hook(before), layer.register_forward_hook(after)):
                stack.callback(handle.remove)
        stack.enter_context(clock)
        yield
