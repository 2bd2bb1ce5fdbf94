"""The state of a network and of random generators: what looking at a network must leave as it was, and may compare."""

from __future__ import annotations

import copy
import itertools
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ft.machine.randomness import random_state_kept
from ft.prefix.digest import is_plain

_DICTS, _LISTS = (dict, OrderedDict, defaultdict, Counter), (list, deque)
"""What is looked into, and put back: classes of anyone's own may not bear that."""
_DEPTH = 4
"""How deep lists in lists are looked at; they may hold themselves."""


def python_random_state() -> tuple[Any, ...]:
    """The state of the generators that only Python code draws from, where no graph shows it."""
    _, keys, position, *_ = np.random.get_state(legacy=True)
    return random.getstate(), np.asarray(keys).tobytes(), position


def every_random_state() -> tuple[Any, ...]:
    """That, and the state of torch's own."""
    return (*python_random_state(), torch.get_rng_state().numpy().tobytes())


@contextmanager
def state_kept(module: nn.Module) -> Iterator[None]:
    """A block after which `module` holds the same tensors and attributes, and every generator its state."""
    with random_state_kept(), attributes_kept(module), buffers_kept(module):
        yield


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """A block after which the buffers of `module` hold what they held before, and tensors that are attributes, too."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    loose = [(memory, memory.clone()) for memory in _loose_memory(module)]  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
        for memory, held in loose:
            memory.copy_(held)


@contextmanager
def attributes_kept(module: nn.Module) -> Iterator[None]:
    """A block after which every layer of `module` has the attributes that it had, and lists among them hold what they
    held: a forward pass may set some, or add to them."""
    held = [held for inner in module.modules() for held in _attributes(inner)]
    before = [(each, copy.copy(each)) for value in held for each in _containers(value)]
    try:
        yield
    finally:
        for each, content in before:
            each.clear()
            (each.extend if type(each) in _LISTS else each.update)(content)


def attributes_of(layer: nn.Module) -> dict[str, Any]:
    """What a layer's attributes are: its own, its parameters, its buffers and the layers in it."""
    return {name: value for held in _attributes(layer) for name, value in held.items()}


def memory_of(layer: nn.Module) -> dict[str, Any]:
    """What a layer's attributes are and, where they are lists or the like, what is in these now."""
    listed = ("_parameters", "_buffers", "_modules")  # what is in them is there under its own name
    return {name: _content(value) for name, value in attributes_of(layer).items() if name not in listed}


def noted(module: nn.Module) -> Counter[tuple[str, ...]]:
    """Under which names layers hold something: attributes, and what is in dictionaries and sets."""
    found: Counter[tuple[str, ...]] = Counter()
    for path, inner in module.named_modules():
        for name, value in memory_of(inner).items():
            if value is not None:
                found[path, name] += 1
            for inside in _containers(value):
                found.update((path, name, repr(key)) for key in (inside if isinstance(inside, dict | set) else ()))
    return found


def memories_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    """`memory_of` every layer of `module`, by its path."""
    return {path: memory_of(inner) for path, inner in module.named_modules()}


def changed_since(before: Mapping[str, Mapping[str, Any]], module: nn.Module) -> tuple[str, str] | None:
    """Where a forward pass has left a state since `before`, `memories_of` the same module: a layer's path and one of
    its attributes."""
    for path, inner in module.named_modules():  # get_submodule is not for TorchScript's
        if path in before and (name := _remembered(before[path], memory_of(inner))) is not None:
            return path, name
    return None


def _remembered(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The first attribute that was there, and that a forward pass set to something else: a state in Python.

    Both are `memory_of` a layer. An attribute that was not there, or a key of a dictionary, is taken for a note of what
    was seen, which nobody reads in the next pass; a trial (`probe_equality`) has the last word about that.
    """
    return next((name for name, known in before.items() if name in after and _differs(known, after[name])), None)


def _differs(known: Any, value: Any) -> bool:
    if known is None or value is known:
        return False
    if type(known) is type(value) is dict:
        return any(key not in value or _differs(each, value[key]) for key, each in known.items())
    if type(known) is type(value) is set:
        return not known <= value
    if type(known) is type(value) is list:
        return len(known) != len(value) or any(map(_differs, known, value))
    return not (is_plain(value) and is_plain(known) and value == known)


def _content(value: Any, depth: int = _DEPTH) -> Any:
    """`value`, or a copy of it where a forward pass can change what it holds."""
    if depth and type(value) in _DICTS:
        return {key: _content(each, depth - 1) for key, each in value.items()}
    if depth and type(value) in _LISTS:
        return [_content(each, depth - 1) for each in value]
    return set(value) if type(value) is set else value


def _containers(value: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """`value` and what it holds, as far as these are lists or the like."""
    if depth and type(value) in (*_DICTS, *_LISTS, set):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _containers(each, depth - 1)


def _loose_memory(module: nn.Module) -> list[torch.UntypedStorage]:
    """The memory of tensors that layers hold without having registered them, or what they are views of."""
    found: dict[int, torch.UntypedStorage] = {}
    for inner in module.modules():
        for value in memory_of(inner).values():
            inside = (each.values() if isinstance(each, dict) else each for each in _containers(value))
            for each in (value, *itertools.chain.from_iterable(inside)):
                if isinstance(each, torch.Tensor) and each.layout == torch.strided and not each.is_meta:
                    found[each.untyped_storage()._cdata] = each.untyped_storage()
    for registered in itertools.chain(module.parameters(), module.buffers()):
        found.pop(registered.untyped_storage()._cdata, None)
    return list(found.values())


def _attributes(layer: nn.Module) -> list[dict[str, Any]]:
    held = (vars(layer), layer._parameters, layer._buffers, layer._modules)
    return [each for each in held if isinstance(each, dict)]  # those of a ScriptModule are none


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """A block in which `module` is in eval mode; afterwards each of its layers has its own mode again."""
    modes = {inner: inner.training for inner in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for inner, training in modes.items():
            inner.training = training
