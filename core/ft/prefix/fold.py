"""A prefix made faster, as far as a promise allows.

*exact* changes nothing. *close* folds each BatchNorm in eval mode into the convolution before it and lays memory out
channels last. *fast* also computes in bf16. Both work on a copy; the original's tensors stay as they are.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Literal, cast

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

Promise = Literal["exact", "close", "fast"]


class PreparedPrefix(nn.Module):
    """A prefix on a copy of its layers; takes float images in any layout, returns tensors of type `dtype`."""

    def __init__(self, prefix: fx.GraphModule, dtype: torch.dtype) -> None:
        super().__init__()
        self.prefix = prefix.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        images = images.to(dtype=self.dtype, memory_format=torch.channels_last)
        return cast(tuple[torch.Tensor, ...], self.prefix(images))


def prepare_prefix(prefix: fx.GraphModule, promise: Promise) -> nn.Module:
    """Return a module that computes the same features as `prefix`, to the accuracy of `promise`."""
    if promise == "exact":
        return prefix
    folded = fold_batch_norms(copy.deepcopy(prefix))
    return PreparedPrefix(folded, torch.bfloat16 if promise == "fast" else torch.float32)


def fold_batch_norms(prefix: fx.GraphModule) -> fx.GraphModule:
    """Fold, in place, every BatchNorm whose only input is a convolution or linear layer that nobody else reads.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
    2018, section 3.2. torch.fx's own pass folds a layer that is called twice into both its users; this one does not.
    """
    calls = Counter(node.target for node in prefix.graph.nodes if node.op == "call_module")
    for norm in list(prefix.graph.nodes):
        if norm.op != "call_module" or not norm.all_input_nodes:
            continue
        layer = norm.all_input_nodes[0]
        if layer.op != "call_module" or len(layer.users) > 1 or calls[layer.target] > 1 or calls[norm.target] > 1:
            continue
        fused = _fused(prefix.get_submodule(str(layer.target)), prefix.get_submodule(str(norm.target)))
        if fused is not None:
            prefix.set_submodule(str(layer.target), fused)
            norm.replace_all_uses_with(layer)
            prefix.graph.erase_node(norm)
    prefix.delete_all_unused_submodules()
    prefix.recompile()
    return prefix


def _fused(layer: nn.Module, norm: nn.Module) -> nn.Module | None:
    if norm.training or getattr(norm, "running_mean", None) is None:
        return None
    if type(layer) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
        return fuse_conv_bn_eval(layer, norm)
    if type(layer) is nn.Linear and type(norm) is nn.BatchNorm1d:
        return fuse_linear_bn_eval(layer, norm)
    return None
