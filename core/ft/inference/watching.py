"""Layers watched while a network runs, by hooks that are gone afterwards; the network is left as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ft.machine.turns import running_a_network

See = Callable[[nn.Module, Tensor], Tensor | None]
"""Is told a layer and its output, and may put another in its place."""


@contextmanager
def watched(layers: Iterable[nn.Module], see: See) -> Iterator[None]:
    """A block in which `see` is told of every tensor that one of these layers gives in this thread."""
    owner = threading.get_ident()

    def hook(layer: nn.Module, _: Any, output: Any) -> Tensor | None:
        return see(layer, output) if isinstance(output, Tensor) and threading.get_ident() == owner else None

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """A block in which a network is in eval mode and may be differentiated, whatever is around it; afterwards each of
    its layers is in the mode that it was in."""
    training = [layer for layer in module.modules() if layer.training]
    try:
        for layer in training:
            layer.training = False
        with torch.inference_mode(False), torch.enable_grad(), running_a_network():
            yield
    finally:
        for layer in training:
            layer.training = True
