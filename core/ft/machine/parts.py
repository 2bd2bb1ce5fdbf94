"""Tensors of which each process holds a part, as torch's `fully_shard` makes them, and those that a process holds all
of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_SAID = re.compile(r"sharding strateg|placement|DTensor")


def is_part(tensor: Tensor) -> bool:
    """Whether processes hold a tensor together, each its part."""
    return hasattr(tensor, "full_tensor")


def held_here(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, in the memory where it holds it."""
    held: Any = tensor
    return held.to_local() if is_part(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; each process has to ask for it."""
    held: Any = tensor
    return held.full_tensor() if is_part(tensor) else tensor


def own_part(tensor: Tensor, like: Tensor) -> Tensor:
    """What processes hold together of a tensor that each of them has, divided as `like` is; the tensor itself where
    that is not divided, or has another shape."""
    if not is_part(like) or is_part(tensor) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    held: Any = like
    there = tensor.to(held.to_local().device).contiguous()
    return distribute_tensor(there, held.device_mesh, held.placements, src_data_rank=None)


def is_of_parts(error: RuntimeError) -> bool:
    """Whether torch says that it cannot compute something with tensors of which processes hold parts."""
    return bool(_SAID.search(str(error)))
