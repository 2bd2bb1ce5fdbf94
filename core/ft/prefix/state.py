"""The state of a network and of random generators: what looking at a network must leave as it was, and may compare."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ft.prefix.digest import is_plain


def python_random_state() -> tuple[Any, ...]:
    """The state of the generators that only Python code draws from, where no graph shows it."""
    _, keys, position, *_ = np.random.get_state(legacy=True)
    return random.getstate(), np.asarray(keys).tobytes(), position


def every_random_state() -> tuple[Any, ...]:
    """That, and the state of torch's own."""
    return (*python_random_state(), torch.get_rng_state().numpy().tobytes())


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leave every generator as it was found: looking at a network must not change the run."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def state_kept(module: nn.Module) -> Iterator[None]:
    """A block after which `module` holds the same tensors and attributes, and every generator its state."""
    with random_state_kept(), attributes_kept(module), buffers_kept(module):
        yield


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """A block after which the buffers of `module` hold what they held before."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@contextmanager
def attributes_kept(module: nn.Module) -> Iterator[None]:
    """A block after which every layer of `module` has the attributes that it had: a forward pass may set some."""
    before = [(held, dict(held)) for inner in module.modules() for held in _attributes(inner)]
    try:
        yield
    finally:
        for held, content in before:
            held.clear()
            held.update(content)


def attributes_of(layer: nn.Module) -> dict[str, Any]:
    """What a layer's attributes are: its own, its parameters, its buffers and the layers in it."""
    return {name: value for held in _attributes(layer) for name, value in held.items()}


def remembered(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The first attribute that was there, and that a forward pass set to something else: a state in Python.

    One that was not there is taken for a note of what was seen, which nobody reads in the next pass.
    """
    for name, value in after.items():
        known = before.get(name)
        alike = value is known or (is_plain(value) and is_plain(known) and value == known)
        if known is not None and not alike:
            return name
    return None


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
