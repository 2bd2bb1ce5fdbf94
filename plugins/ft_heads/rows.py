"""Where a head has a row for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def last_layer(head: nn.Module) -> Sequence[str]:
    """The weight and, where there is one, the bias of the last layer of a head, linear or a 1x1 convolution."""
    from torch import nn

    path, layer = [(path, each) for path, each in head.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]
    return [f"{path}.{name}" if path else name for name, _ in layer.named_parameters()]
