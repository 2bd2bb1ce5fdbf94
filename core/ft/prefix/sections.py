"""Parts of a network between module boundaries, for forward passes that only Python itself can run.

A section runs the network's own code on copies of its layers that share their tensors. Those before it do not run: they
return tensors without data (on torch's meta device), until the boundary at which it begins returns the given one; at
the one where it ends it is left by an exception. torch refuses to compute with data that is not there, so a section
that needs more than it was given fails (`NotWhole`), and never gives something else.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from ft.errors import FtError
from ft.prefix.boundaries import Recording, boundaries, record
from ft.prefix.graph import Graph, NotTraceable, first_line
from ft.prefix.watch import storage_of


class NotWhole(FtError):
    """A section needs what it was not given: the network runs otherwise than when it was looked at."""


def graph_of_sections(module: nn.Module, images: torch.Tensor, paths: Sequence[str]) -> Graph:
    """`module` as a chain of sections that end where the layers at `paths` return, in the sequence of their returns.

    Raises NotTraceable when it fails on `images` [N, 3, S, S], or cannot be cut there.
    """
    recording = record(module, images)
    if not set(paths) <= boundaries(module, recording).keys():
        raise NotTraceable("it cannot be cut there")
    graph = fx.Graph()
    value = graph.placeholder("images")
    sections: dict[str, nn.Module] = {}
    for enter, leave in itertools.pairwise((None, *paths, None)):
        name = f"{enter or 'images'} to {leave or 'output'}".replace(".", "/")
        part = _Part(module, recording, enter, leave)
        sections[name] = part.section()
        value = graph.call_module(name, (value,))
        value.meta |= {"path": leave or f"what follows {enter}", "did": part.did()}
    graph.output(value)
    return Graph(module, fx.GraphModule(sections, graph), "module boundaries", boundaries=tuple(paths))


class Section(nn.Module):
    """Runs a part of a network on what the part before it returned, the first one on images."""

    def __init__(self, part: nn.Module, given: _Given, images: _Form | None, leaves: bool) -> None:
        super().__init__()
        self.part = part
        self.given, self.images, self.leaves = given, images, leaves

    def forward(self, tensor: torch.Tensor) -> Any:
        """Raises NotWhole."""
        self.given.value, self.given.entered = tensor, 0
        left = False
        try:
            value = self.part(tensor if self.images is None else self.images.empty(len(tensor)))
        except _Left as leaving:
            value, left = leaving.value, True
        except (RuntimeError, TypeError) as error:
            if "meta" not in str(error):
                raise
            raise NotWhole(_needs_more(f"it needs what was computed before ({first_line(error)})")) from error
        except (LookupError, AttributeError) as error:
            if self.images is None:  # nothing was left out, so this is the network's own mistake
                raise
            raise NotWhole(_needs_more(f"it needs what was noted before ({first_line(error)})")) from error
        if left != self.leaves or self.given.entered != (self.images is not None):
            raise NotWhole(_needs_more("its layers are called otherwise"))
        if any(leaf.is_meta for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)):
            raise NotWhole(_needs_more("it needs what was computed before"))
        if left and len(value) != len(tensor):
            raise NotWhole(_needs_more("it goes through a batch in parts"))
        return value


def _needs_more(why: str) -> str:
    return f"a part of the network does not run as it did when it was looked at: {why}. --cache off runs all of it"


class _Left(BaseException):
    """Leaves a forward pass early; not an Exception, which a network's own code might catch."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


@dataclass(eq=False)
class _Given:
    """What a section was called with, for the layers inside it, and how often the layer that returns it was called.

    It stays until the next call: activation checkpointing runs layers again in the backward pass.
    """

    value: torch.Tensor | None = None
    entered: int = 0


@dataclass(frozen=True)
class _Form:
    """A tensor's form; `batched` says that its first dimension was the batch's."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    batched: bool

    @classmethod
    def of(cls, tensor: torch.Tensor, batch_size: int = -1) -> _Form:
        shape = tuple(tensor.shape)
        return cls(shape, tensor.stride(), tensor.dtype, shape[:1] == (batch_size,))

    def empty(self, number: int = 0) -> torch.Tensor:
        """A tensor of this form, for `number` images, that has no data."""
        shape = (number, *self.shape[1:]) if self.batched else self.shape
        return torch.empty_strided(shape, self.stride, dtype=self.dtype, device="meta")


# What layers do in a section in place of their own forward. Objects, not functions: a copy of a section copies them.


@dataclass(eq=False)
class _Enter:
    given: _Given

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.given.entered += 1
        assert self.given.value is not None
        return self.given.value


@dataclass(eq=False)
class _Leave:
    layer: nn.Module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _Left(type(self.layer).forward(self.layer, *args, **kwargs))


@dataclass(eq=False)
class _Skip:
    given: _Given
    output: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self.given.value is not None
        number = len(self.given.value)
        return tree_map(lambda leaf: leaf.empty(number) if isinstance(leaf, _Form) else leaf, self.output)


def _never_reached(*args: Any, **kwargs: Any) -> Any:
    raise NotWhole(_needs_more("its layers are called otherwise"))


class _Part:
    """Builds the section between the returns of two layers, or the beginning and the end."""

    def __init__(self, module: nn.Module, recording: Recording, enter: str | None, leave: str | None) -> None:
        self.module, self.recording = module, recording
        self.enter, self.leave = (None if path is None else module.get_submodule(path) for path in (enter, leave))
        self.start = -1.0 if self.enter is None else recording.calls[self.enter][0].end
        self.stop = math.inf if self.leave is None else recording.calls[self.leave][0].end
        self.given = _Given()
        self.made: dict[nn.Module, nn.Module] = {}

    def section(self) -> Section:
        images = None if self.enter is None else _Form.of(self.recording.images, len(self.recording.images))
        return Section(self._rebuilt(self.module), self.given, images, self.leave is not None)

    def did(self) -> str:
        """A digest of the operations that ran here, with all that they were given."""
        digest = hashlib.sha256()
        for time, operation in self.recording.operations:
            if self.start < time < self.stop:
                digest.update(f"{operation}\n".encode())
        return digest.hexdigest()

    def _build(self, layer: nn.Module) -> nn.Module:
        if layer not in self.made:
            self.made[layer] = self._choose(layer)
        return self.made[layer]

    def _choose(self, layer: nn.Module) -> nn.Module:
        calls = self.recording.calls.get(layer)
        if layer is self.enter:
            return self._rebuilt(layer, _Enter(self.given))
        if not calls or any(inner in (self.enter, self.leave) for inner in layer.modules()):
            copied = self._rebuilt(layer)
            if layer is self.leave:
                copied.__dict__["forward"] = _Leave(copied)
            return copied
        if any(self.start < call.begin < self.stop for call in calls) or any(map(self._touched, _tensors(layer))):
            return layer
        if all(call.begin > self.stop for call in calls):
            return self._rebuilt(layer, _never_reached)
        forms = [tree_map(self._form, call.output) for call in calls]
        if all(call.end < self.start for call in calls) and all(form == forms[0] for form in forms):
            return self._rebuilt(layer, _Skip(self.given, forms[0]))
        return layer

    def _rebuilt(self, layer: nn.Module, instead: Callable[..., Any] | None = None) -> nn.Module:
        """A copy that runs the layer's own code, or `instead`, on what `_build` makes of the layers inside it."""
        if instead is None and (layer in self.recording.rebound or "forward" in vars(layer)):
            raise NotTraceable("its forward pass sets attributes, or is itself one")
        copied = copy.copy(layer)
        inside = {name: None if child is None else self._build(child) for name, child in layer._modules.items()}
        copied.__dict__["_modules"] = inside
        for kind in ("_parameters", "_buffers"):
            copied.__dict__[kind] = own = {}
            for name, tensor in getattr(layer, kind).items():
                # What no operation touched may still be needed, some other time.
                unknown = instead is None and tensor is not None and storage_of(tensor) not in self.recording.touched
                if tensor is None or unknown or self._touched(tensor):
                    own[name] = tensor
                else:
                    copied.__dict__[name] = _Form.of(tensor).empty()
        if instead is not None:
            inside.pop("parametrizations", None)
            hooks = {name: type(value)() for name, value in vars(layer).items() if name.endswith("_hooks")}
            copied.__dict__.update(hooks, forward=instead)
        return copied

    def _touched(self, tensor: torch.Tensor) -> bool:
        return any(self.start < time < self.stop for time in self.recording.touched.get(storage_of(tensor), ()))

    def _form(self, leaf: Any) -> Any:
        return _Form.of(leaf, len(self.recording.images)) if isinstance(leaf, torch.Tensor) else leaf


def _tensors(layer: nn.Module) -> itertools.chain[torch.Tensor]:
    return itertools.chain(layer.parameters(), layer.buffers())
