"""A network that takes images as they are stored, and normalises them itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ft.data.transforms import normalise
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.inference.given_images import kind_of


class Normalised(nn.Module):
    """A network that takes uint8 images [N, 3, S, S] in RGB, S being the size it was trained with, and normalises them
    itself; it returns the network's outputs [N, K] in float32: of classes the logits, which divided by the temperature
    have the probabilities of `predict` in fp32 as their softmax."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, channels_last: bool) -> None:
        super().__init__()
        self.network, self.preprocessing = network, preprocessing
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, images: Tensor) -> Tensor:
        """Raises FtError for images of another type or form."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise FtError(
                f"module takes uint8 images [N, 3, S, S] and normalises them itself; this is {list(images.shape)} of "
                f"{kind_of(images)}"
            )
        outputs: Tensor = self.network(normalise(images, self.preprocessing).to(memory_format=self._layout))
        return outputs.float()
