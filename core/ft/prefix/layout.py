"""How a value that crosses the cut is kept, and how the rest of the network gets it back as it was.

A kernel may sum in another sequence when strides differ, so bit for bit also means stride for stride. Tensors are kept
densely in the sequence their dimensions have in memory; the way back is a view wherever that restores the strides.
Numbers that follow from the shape of the images (a batch size, a width) are written into the graph instead.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import fx
from torch.fx.node import Argument
from torch.utils._pytree import tree_leaves

from ft.prefix.observe import BATCH, OTHER_BATCH, TensorFact


class Layout(NamedTuple):
    """`order`: dimensions from the outermost in memory to the innermost. `stride`: where there are gaps in between."""

    order: tuple[int, ...]
    stride: tuple[int, ...] | None


def layout_of(value: object, other: object) -> Layout | None:
    """How to keep a value, seen with two batch sizes; None when it cannot be kept image by image."""
    if not isinstance(value, TensorFact) or not isinstance(other, TensorFact):
        return None
    if (
        not value.shape
        or (value.shape[0], other.shape[0]) != (BATCH, OTHER_BATCH)
        or value.shape[1:] != other.shape[1:]
    ):
        return None
    order = tuple(sorted(range(len(other.shape)), key=lambda d: (-other.stride[d], d)))
    if other.stride == _dense(other.shape, order):
        return Layout(order, None)
    inner = 1
    for dimension in reversed(order):
        if other.shape[dimension] > 1 and other.stride[dimension] < inner:
            return None  # elements share memory
        inner = max(inner, other.stride[dimension] * other.shape[dimension])
    return Layout(order, other.stride) if order[0] == 0 and value.stride == other.stride else None


def to_storage(tensor: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """Return `tensor` densely, batch first, so that a slice along the first dimension is an image's part."""
    return tensor.permute(order).contiguous() if order[0] == 0 else tensor.contiguous()


def from_storage(kept: torch.Tensor, order: tuple[int, ...], stride: tuple[int, ...] | None) -> torch.Tensor:
    """Return the tensor that `to_storage` was given, with the strides it had."""
    back = tuple(order.index(dimension) for dimension in range(len(order)))
    if order[0] != 0:
        return kept.permute(order).contiguous().permute(back)
    tensor = kept if back == tuple(range(len(back))) else kept.permute(back)
    if stride is None:
        return tensor
    return torch.empty_strided(tensor.shape, stride, dtype=kept.dtype, device=kept.device).copy_(tensor)


def is_constant(value: object, other: object) -> bool:
    """Whether a value follows from the images' size and number alone."""
    if isinstance(value, tuple | list) and isinstance(other, tuple | list):
        return len(value) == len(other) and all(map(is_constant, value, other))
    if any(isinstance(leaf, TensorFact) for leaf in tree_leaves(value)):
        return False
    return value == other or (value, other) == (BATCH, OTHER_BATCH)


def as_constant(value: object, other: object, batch_size: fx.Node) -> Argument:
    """A constant as an argument for a node; where it is the number of images, `batch_size` stands."""
    if isinstance(value, tuple | list) and isinstance(other, tuple | list):
        return tuple(as_constant(*pair, batch_size) for pair in zip(value, other, strict=True))
    return cast(Argument, value) if value == other else batch_size


def _dense(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    strides = [0] * len(shape)
    step = 1
    for dimension in reversed(order):
        strides[dimension] = step
        step *= max(1, shape[dimension])
    return tuple(strides)
