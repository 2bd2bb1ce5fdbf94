"""A model that takes images as programs have them, uint8 [N, H, W, 3], and does all the rest itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ft.data.carried import Square
from ft.data.transforms import normalise
from ft.extension.records import Preprocessing

Readout = Callable[[Tensor], Tensor | None]
"""From outputs [N, K] to what answers tell in numbers, or None."""


class Seeing(nn.Module):
    """Makes of uint8 images [N, H, W, 3] what a network takes: normalised float32 [N, 3, S, S]. Without a `square`,
    images are of the network's size already."""

    def __init__(self, preprocessing: Preprocessing, any_size: bool) -> None:
        super().__init__()
        self._preprocessing = preprocessing
        self.square = Square(preprocessing) if any_size else None

    def forward(self, images: Tensor) -> Tensor:
        return normalise(
            images.permute(0, 3, 1, 2) if self.square is None else self.square(images), self._preprocessing
        )


class SelfContained(nn.Module):
    """A network with all that is before and after it: returns the outputs [N, K] in float32 and, where the task says
    what they mean in numbers, its `readout` of them. With "fp16" the network computes in half precision."""

    def __init__(
        self, network: nn.Module, seeing: Seeing, readout: Readout, precision: Literal["fp32", "fp16", "int8"]
    ) -> None:
        super().__init__()
        self.seeing, self._readout = seeing, readout
        own = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format).eval()
        self._dtype = torch.float16 if precision == "fp16" else torch.float32
        self.network = own.to(self._dtype)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(self.seeing(images).to(self._dtype)).float()
        told = self._readout(outputs)
        return (outputs,) if told is None else (outputs, told)
