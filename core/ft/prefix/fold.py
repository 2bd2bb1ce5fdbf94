"""A prefix made faster, as far as a promise allows.

*exact* changes nothing. *close* folds each BatchNorm in eval mode into the convolution before it and lays memory out
channels last. *fast* also computes in bf16, as autocast does. Both work on a copy; the original's tensors stay as they
are.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ft.prefix.records import DTYPES, Cut, Tensors

Promise = Literal["exact", "close", "fast"]


class PreparedPrefix(nn.Module):
    """A prefix on a copy of its layers, in fp32, or as autocast has it in bf16; takes float images in any layout.

    What autocast keeps in fp32, it keeps. Made of what leads from one cut to another, it takes a tuple of kept tensors
    in place of images.
    """

    def __init__(self, prefix: fx.GraphModule, bf16: bool) -> None:
        super().__init__()
        self.prefix = prefix.to(dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bf16 = bf16
        if bf16:
            _cast_weights(prefix)

    def forward(self, inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        if isinstance(inputs, torch.Tensor):
            inputs = inputs.to(dtype=torch.float32, memory_format=torch.channels_last)
        device = (inputs if isinstance(inputs, torch.Tensor) else inputs[0]).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.bf16):
            tensors: tuple[torch.Tensor, ...] = self.prefix(inputs)
        return tensors


def prepare_prefix(prefix: fx.GraphModule, promise: Promise) -> nn.Module:
    """Return a module that computes the same features as `prefix`, to the accuracy of `promise`."""
    if promise == "exact":
        return prefix
    return PreparedPrefix(fold_batch_norms(copy.deepcopy(prefix)), bf16=promise == "fast")


def as_kept(tensors: Tensors, cut: Cut) -> Tensors:
    """What crosses `cut`, in the types that it is kept in."""
    return tuple(each.to(DTYPES[kept.dtype][1]) for each, kept in zip(tensors, cut.tensors, strict=True))


def _cast_weights(prefix: fx.GraphModule) -> None:
    """Put into bf16, once, the weights that autocast puts into bf16 in every batch; those that nobody else reads."""
    held = Counter(id(each) for _, each in prefix.named_parameters(remove_duplicate=False))
    read = {node.target for node in prefix.graph.nodes if node.op == "get_attr"}
    for path in {str(node.target) for node in prefix.graph.nodes if node.op == "call_module"}:
        layer = prefix.get_submodule(path)
        own = layer.named_parameters()
        alone = all(held[id(each)] == 1 and f"{path}.{name}" not in read for name, each in own)
        if alone and type(layer) in (nn.Conv2d, nn.Linear):
            layer.to(torch.bfloat16)


def fold_batch_norms(prefix: fx.GraphModule) -> fx.GraphModule:
    """Fold, in place, every BatchNorm whose only input is a convolution that nobody else reads.

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
    2018, section 3.2. torch.fx's own pass folds a layer that is called twice into both its users; this one does not,
    and it also folds into the plain function, which is what a trace finds inside convolutions of somebody's own.
    """
    calls = Counter(node.target for node in prefix.graph.nodes if node.op in ("call_module", "get_attr"))
    for norm in list(prefix.graph.nodes):
        if norm.op != "call_module" or not norm.all_input_nodes or calls[norm.target] > 1:
            continue
        layer, stage = norm.all_input_nodes[0], prefix.get_submodule(str(norm.target))
        if len(layer.users) > 1 or stage.training or getattr(stage, "running_mean", None) is None:
            continue
        if _into_module(prefix, layer, stage, calls) or _into_function(prefix, layer, stage, calls):
            norm.replace_all_uses_with(layer)
            prefix.graph.erase_node(norm)
    for node in list(prefix.graph.nodes):  # torch.fx's own pass also takes in-place operations for dead
        if node.op == "get_attr" and not node.users:
            prefix.graph.erase_node(node)
    prefix.delete_all_unused_submodules()
    prefix.recompile()
    return prefix


def _into_module(prefix: fx.GraphModule, layer: fx.Node, norm: nn.Module, calls: Mapping[Any, int]) -> bool:
    if layer.op != "call_module" or calls[layer.target] > 1:
        return False
    module = prefix.get_submodule(str(layer.target))
    if type(module) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    folded = copy.deepcopy(module)
    folded.weight, folded.bias = _folded(module.weight, module.bias, norm)
    prefix.set_submodule(str(layer.target), folded)
    return True


def _into_function(prefix: fx.GraphModule, layer: fx.Node, norm: nn.Module, calls: Mapping[Any, int]) -> bool:
    """As for a module, where weight and bias are tensors of the network; the folded ones get names of their own."""
    if layer.target is not torch.conv2d or layer.kwargs or type(norm) is not nn.BatchNorm2d:
        return False
    weight, bias = (*layer.args, None)[1:3]
    stored = [each for each in (weight, bias) if each is not None]
    if not all(isinstance(each, fx.Node) and each.op == "get_attr" and calls[each.target] == 1 for each in stored):
        return False
    old = [None if each is None else _tensor(prefix, str(cast(fx.Node, each).target)) for each in (weight, bias)]
    new = _folded(cast(torch.Tensor, old[0]), old[1], norm)
    with prefix.graph.inserting_before(layer):
        nodes = []
        for kind, tensor in zip(("weight", "bias"), new, strict=True):
            name = f"folded_{layer.name}_{kind}"
            prefix.register_parameter(name, tensor)
            nodes.append(prefix.graph.get_attr(name))
    layer.args = (layer.args[0], *nodes, *layer.args[3:])
    return True


def _folded(weight: torch.Tensor, bias: torch.Tensor | None, norm: nn.BatchNorm2d) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias that do what a convolution and `norm` do, rounded once: in float64 until the end."""
    given = (weight, bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    # Not every accelerator has float64.
    w, b, mean, variance, scale, shift = (None if each is None else each.detach().cpu().double() for each in given)
    assert w is not None
    assert mean is not None
    assert variance is not None
    new = fuse_conv_bn_weights(w, b, mean, variance, norm.eps, scale, shift)
    return nn.Parameter(new[0].to(weight), requires_grad=False), nn.Parameter(new[1].to(weight), requires_grad=False)


def _tensor(prefix: fx.GraphModule, path: str) -> torch.Tensor:
    owner, _, name = path.rpartition(".")
    return cast(torch.Tensor, getattr(prefix.get_submodule(owner), name))
