"""What the task makes of labels, as tensors that losses and meters take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class HasTarget(Protocol):
    """What has a target."""

    @property
    def target(self) -> Any: ...


def targets_of(items: Sequence[HasTarget]) -> torch.Tensor:
    """The targets of images: [N] in int64 where they are whole numbers, [N, K] in float32 where they are tuples."""
    return torch.tensor([item.target for item in items])
