"""What the task makes of labels, as losses and meters take it. This loads no torch unless tensors are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class HasTarget(Protocol):
    """What has a target."""

    @property
    def target(self) -> Any: ...


def targets_of(items: Sequence[HasTarget]) -> Tensor:
    """The targets of images: [N] in int64 where they are whole numbers, [N, K] in float32 where they are tuples."""
    import torch

    return torch.tensor([item.target for item in items])


def target_array(items: Sequence[HasTarget]) -> NDArray[Any]:
    """The same as an array."""
    found = np.array([item.target for item in items])
    return found.astype(np.float32) if found.dtype.kind == "f" else found.astype(np.int64)
