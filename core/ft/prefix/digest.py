"""A digest of everything that a prefix computes with, for the key under which its features are kept."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import fx, nn


def prefix_digest(prefix: fx.GraphModule) -> str:
    """SHA-256 (hex) over the prefix's graph, the settings of its layers, and the bytes of the tensors it uses.

    Nothing outside the prefix enters: another head, or other weights behind the cut, give the same digest. Where its
    graph is not known, the operations that were seen stand for it.
    """
    digest = hashlib.sha256()
    for node in prefix.graph.nodes:
        digest.update(f"{node.format_node()}\n".encode())
        if "did" in node.meta:
            digest.update(f"{node.meta['did']}\n".encode())
        elif node.op == "call_module":
            for inner in prefix.get_submodule(str(node.target)).modules():
                digest.update(f"{_settings(inner)}\n".encode())
        elif node.op == "call_function":
            digest.update(f"{_source(node.target)}\n".encode())
    tensors = {**dict(prefix.named_parameters()), **dict(prefix.named_buffers())}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def computed_digest(prefix: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], images: torch.Tensor) -> str:
    """SHA-256 (hex) over what `prefix` computes for `images` [N, 3, S, S]: it shows what no look at a layer does, such
    as an object of somebody's own that its code asks."""
    digest = hashlib.sha256()
    with torch.inference_mode():
        for tensor in prefix(images):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _settings(layer: nn.Module) -> tuple[str, str, list[tuple[str, str]]]:
    """What decides the computation of a layer that is one node, besides its tensors. Its name says little of one that
    somebody wrote, nor does its repr: attention with 2 heads and with 4 look alike there."""
    kind: Any = type(layer)
    source = "".join(map(_source, kind.__mro__))
    settings = vars(layer).keys() - ({"training"} if _alike_in_both_modes(kind) else set())
    plain = [(name, repr(value)) for name in sorted(settings) if is_plain(value := vars(layer)[name])]
    return f"{kind.__module__}.{kind.__qualname__} {layer!r}", source, plain


@cache
def _alike_in_both_modes(kind: type[nn.Module]) -> bool:
    """Whether this is a layer of torch that never asks for its mode. An activation that lies in no frozen module is in
    train mode where steps are taken, and in eval mode where a head is solved for; what it computes is the same."""
    if kind.__module__.partition(".")[0] != "torch":
        return False
    own = [each for each in kind.__mro__ if each not in (nn.Module, object)]
    try:
        return not any("training" in inspect.getsource(each) for each in own)
    except (OSError, TypeError):  # torch without its source
        return False


def _source(made: Any) -> str:
    """The text of a function or class that is not torch's."""
    if str(getattr(made, "__module__", "")).partition(".")[0] in ("torch", "builtins", "_operator", "math"):
        return ""
    with suppress(OSError, TypeError, SyntaxError):  # written in a prompt, compiled, or being edited
        return inspect.getsource(made)
    return ""


def is_plain(value: object) -> bool:
    """Whether a value is made of numbers, texts and types alone, and so equals another by what it says."""
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, (*value, *value.values())))
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor's elements, in the sequence of its indices."""
    data: memoryview = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    return data
