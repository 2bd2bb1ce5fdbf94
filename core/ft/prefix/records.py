"""What the search for a cut answers: pure data, to be shown, pickled and written as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

BarrierKind = Literal["trainable", "hook", "parametrization", "statistics", "random", "values", "state", "batch"]


@dataclass(frozen=True)
class Price:
    """What computing and keeping cost: `seconds = flops / flops_per_s + bytes / bytes_per_s`.

    `epochs` counts how often every image is seen: a feature is computed and written once and read every epoch, what
    is left out of the prefix is computed every epoch.
    """

    flops_per_s: float = 1e11
    bytes_per_s: float = 2e9
    epochs: float = 20

    def recomputing(self, flops: float) -> float:
        """Seconds an image that a run loses by computing `flops` in every epoch instead of once."""
        return (self.epochs - 1) * flops / self.flops_per_s

    def keeping(self, size: float) -> float:
        """Seconds an image that a run spends on writing `size` bytes once and reading them every epoch."""
        return (self.epochs + 1) * size / self.bytes_per_s


@dataclass(frozen=True)
class Barrier:
    """A node before which the frozen prefix must end although everything it reads is frozen.

    `path` names it as a user knows it ("layer3.1.bn2"), `reason` is a clause about it ("updates its statistics").
    """

    node: str
    path: str
    kind: BarrierKind
    reason: str

    def __str__(self) -> str:
        return f"{self.path} {self.reason}: cut moved before it"


@dataclass(frozen=True)
class CutTensor:
    """A tensor that crosses from the frozen prefix to the rest.

    `shape` is that of one image, `dtype` the type that it is kept in: its own, which autocast decides
    where the prefix is computed under it. It is kept densely, its dimensions (batch first) in the sequence `order`,
    outermost first. `stride`, where the network sees it with gaps in memory, restores those.
    """

    node: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    order: tuple[int, ...]
    stride: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Cut:
    """Where the network is cut in two, and what that is worth. FLOPs are forward, for one image (2 a multiply-add).

    `seconds` is the price of the cut an image over the whole run: what is kept, and what is frozen but computed every
    epoch nevertheless. `prefix_nodes` says exactly which nodes are computed once; there are none when decoded images
    (uint8) are the cheapest thing to keep.
    """

    tensors: tuple[CutTensor, ...]
    prefix_flops: int
    suffix_flops: int
    seconds: float
    barriers: tuple[Barrier, ...]
    prefix_nodes: tuple[str, ...] = field(repr=False)

    @property
    def keeps_images(self) -> bool:
        """Whether decoded images are kept and nothing of the network is computed once."""
        return not self.prefix_nodes

    @property
    def bytes(self) -> int:
        """Bytes kept for an image (and view)."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def ceiling(self) -> float:
        """Most that an epoch can gain: a step costs the prefix once and the rest three times (its gradients too)."""
        return (self.prefix_flops + 3 * self.suffix_flops) / max(1, 3 * self.suffix_flops)


@dataclass(frozen=True)
class NoCut:
    """Why nothing can be computed once; the plain loop runs."""

    reason: str


Tensors = tuple[torch.Tensor, ...]


DTYPES = {
    "float64": ("F64", torch.float64),
    "float32": ("F32", torch.float32),
    "bfloat16": ("BF16", torch.bfloat16),
    "float16": ("F16", torch.float16),
    "int64": ("I64", torch.int64),
    "int32": ("I32", torch.int32),
    "uint8": ("U8", torch.uint8),
    "bool": ("BOOL", torch.bool),
}
"""The types that are kept, by their names, after what safetensors calls them."""
