"""Says what is wrong with a head, from its signature and from what it makes of features."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ft.machine.randomness import random_state_kept
from ft.text.counting import with_article

_LABELS = {"label", "labels", "target", "targets", "gt", "ground_truth", "y", "y_true"}


def fault_of(head: nn.Module, given: Sequence[int], wanted: Sequence[int], needs: str) -> str:
    """Return what is wrong with a head that is to turn a tensor of shape `given` into one of shape `wanted`, or "".

    It is tried in eval mode and in train mode, in which it is left. Its buffers and torch's generator stay as they
    were. `needs` says in messages who wants that shape, as in "the task needs".
    """
    if name := label_argument(head):
        return (
            f"takes '{name}', which ft does not give it, so it would train without: a head turns features into "
            f"logits, and the loss is ft's. Leave '{name}' out of its forward"
        )
    with random_state_kept():
        for training in (False, True):  # eval mode first, in which layers that learn their sizes learn them
            head.train(training)
            if fault := _fault(head, given, wanted, needs):
                break
    head.train()
    return fault


def label_argument(head: nn.Module) -> str:
    """The argument for labels of the head's forward, or of a layer that the head is a sequence of; "" without one."""
    if isinstance(head, nn.Sequential):
        return next(filter(None, map(label_argument, head)), "")
    _, *more = inspect.signature(head.forward).parameters.values() or (None,)
    return next((each.name for each in more if each.name.lower() in _LABELS), "")


def _fault(head: nn.Module, given: Sequence[int], wanted: Sequence[int], needs: str) -> str:
    features = torch.rand(*given, generator=torch.Generator().manual_seed(0))  # as after a ReLU: not negative
    device = next((tensor.device for tensor in head.parameters()), features.device)
    mode = " in train mode" if head.training else ""
    try:
        with torch.no_grad(), _buffers_kept(head):
            got = head(features.to(device))
    except Exception as error:  # a stranger's code
        return f"fails on {list(given)}{mode}: {error}"
    unlike = _unlike(got, wanted)
    return f"turns {list(given)} into {unlike}{mode}; {needs} {list(wanted)}" if unlike else ""


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """A block after which buffers are as before, such as running statistics. Those without a size yet get theirs."""
    sized = [buffer for buffer in module.buffers() if not isinstance(buffer, nn.UninitializedBuffer)]
    kept = [(buffer, buffer.clone()) for buffer in sized]
    yield
    for buffer, before in kept:
        buffer.copy_(before)


def _unlike(got: Any, wanted: Sequence[int]) -> str:
    """How an answer differs from finite numbers in the shape `wanted`; "" when it does not."""
    if not isinstance(got, Tensor) or list(got.shape) != list(wanted):
        return _described(got)
    if not got.is_floating_point():
        return f"{_described(got)} of {got.dtype}, not of floating-point numbers"
    if not got.is_meta and (lost := int((~got.isfinite()).sum())):
        return f"{_described(got)} of which {lost} of {got.numel()} values are NaN or infinite"
    return ""


def _described(got: Any) -> str:
    if isinstance(got, Tensor):
        return str(list(got.shape))
    kind = with_article(type(got).__name__)
    if isinstance(got, tuple | list):
        return f"{kind} of {len(got)}: {', '.join(map(_described, got))}"
    if isinstance(got, dict):
        return f"{kind} with {', '.join(f'{key}: {_described(each)}' for key, each in got.items())}"
    return kind
