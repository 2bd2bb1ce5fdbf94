"""A digest of everything that a prefix computes with, for the key under which its features are kept."""

from __future__ import annotations

import hashlib

import torch
from torch import fx, nn


def prefix_digest(prefix: fx.GraphModule) -> str:
    """SHA-256 (hex) over the prefix's graph, the settings of its layers, and the bytes of the tensors it uses.

    Nothing outside the prefix enters: another head, or other weights behind the cut, give the same digest.
    """
    digest = hashlib.sha256()
    for node in prefix.graph.nodes:
        digest.update(f"{node.format_node()}\n".encode())
        if node.op == "call_module":
            layer = prefix.get_submodule(str(node.target))
            digest.update(f"{layer!r} {_modes(layer)}\n".encode())
    tensors = {**dict(prefix.named_parameters()), **dict(prefix.named_buffers())}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _modes(layer: nn.Module) -> list[bool]:
    return [inner.training for inner in layer.modules()]


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor's elements, in the sequence of its indices."""
    data: memoryview = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    return data
