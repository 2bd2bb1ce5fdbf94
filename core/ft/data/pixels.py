"""A decoded image as a tensor."""

from __future__ import annotations

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def image_to_tensor(image: Image.Image) -> Tensor:
    """An image's pixels, [channels, H, W]."""
    tensor: Tensor = F.pil_to_tensor(image)
    return tensor
