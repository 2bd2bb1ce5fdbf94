"""Whether a half of a network runs no code but torch's, and so draws random numbers from torch's generators alone."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.nn.modules.module import _has_any_global_hook

from ft.prefix.graph import has_hooks
from ft.prefix.layout import from_storage, to_storage

_FUNCTIONS = ("_operator", "math", "torch", "torch._C._nn", "torch.functional", "torch.nn.functional")
"""Modules whose functions call none that they are given."""


def torch_only(half: fx.GraphModule) -> bool:
    """Whether every layer, function and tensor of `half` is torch's own, and nobody hangs on any of them.

    What cannot be told is taken for foreign.
    """
    if _has_any_global_hook() or not all(map(_bare, (*half.parameters(), *half.buffers()))):  # type: ignore[no-untyped-call]
        return False
    return all(_own(node, half) for node in half.graph.nodes)


def _own(node: fx.Node, half: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return all(map(_own_layer, half.get_submodule(str(node.target)).modules()))
    target = node.target
    if node.op != "call_function" or target in (from_storage, to_storage, getattr):
        return True
    if isinstance(target, OpOverload):
        return target.namespace == "aten"
    return isinstance(target, BuiltinFunctionType | FunctionType) and target.__module__ in _FUNCTIONS


def _own_layer(layer: nn.Module) -> bool:
    kind = type(layer)
    own = all(each.__module__.startswith("torch.nn.modules.") for each in (kind, kind.forward))
    return own and not has_hooks(layer) and not any(map(_foreign, vars(layer).values()))


def _foreign(attribute: object) -> bool:
    """Whether a layer may call what it was given: a `forward` of its own, or a Transformer layer's `activation`."""
    return callable(attribute) and getattr(attribute, "__module__", "") not in _FUNCTIONS


def _bare(tensor: torch.Tensor) -> bool:
    hooks = tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None)
    return type(tensor) in (torch.Tensor, nn.Parameter) and not hooks
