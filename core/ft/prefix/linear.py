"""Whether all that is left to train is one linear layer, which full-batch methods solve at once."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn

from ft.prefix.layout import from_storage

_PASSING = (operator.getitem, from_storage, torch.clone, torch.flatten)


def linear_head(suffix: fx.GraphModule) -> nn.Linear | None:
    """Return the layer when `suffix` is nothing but a linear layer on one kept tensor [N, D], else None."""
    head: nn.Linear | None = None
    node = suffix.graph.output_node().args[0]
    while isinstance(node, fx.Node) and node.op != "placeholder":
        layer = suffix.get_submodule(str(node.target)) if node.op == "call_module" else None
        if type(layer) is nn.Linear and head is None:
            head = layer
        elif node.target not in _PASSING and not _passes(layer):
            return None
        node = node.args[0]
    return head


def _passes(layer: nn.Module | None) -> bool:
    if type(layer) is nn.Dropout:
        return not layer.training or layer.p == 0
    return type(layer) in (nn.Identity, nn.Flatten)
