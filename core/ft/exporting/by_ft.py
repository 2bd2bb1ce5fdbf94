"""What ft itself gives for pictures and for arrays, with which an exported file is compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ft.data.pictures import Picture
from ft.data.pixels import image_to_tensor
from ft.data.transforms import eval_transform, network_input
from ft.errors import FtError
from ft.exporting.prepare import Compute
from ft.inference.load import Trained
from ft.inference.predict import outputs_or_why
from ft.machine.display import Display
from ft.machine.turns import running_a_network


def of_pictures(trained: Trained, pictures: Sequence[Picture], display: Display) -> NDArray[np.float32]:
    """The outputs [N, K] for pictures, as `ft predict` has them. Raises FtError for one without."""
    rows: list[Tensor] = []
    for row in (row for some in outputs_or_why(trained, pictures, display) for row in some):
        if isinstance(row, str):
            raise FtError(row)
        rows.append(row)
    return torch.stack(rows).numpy()


def of_arrays(trained: Trained, images: Iterable[NDArray[np.uint8]], any_size: bool) -> NDArray[np.float32]:
    """The outputs [N, K] for arrays [H, W, 3]; those of the network's size are what the network sees."""
    see, rows = eval_transform(trained.preprocessing), list[Tensor]()
    for image in images:
        pixels = image_to_tensor(Image.fromarray(image))
        seen = see(pixels) if any_size else pixels
        with torch.no_grad(), running_a_network():
            outputs = trained.module(network_input(seen[None], trained.preprocessing, trained.machine))
        rows.append(outputs[0].float())
    return torch.stack(rows).numpy()


def from_the_resize_on(trained: Trained, any_size: bool) -> Compute:
    """What computes arrays [N, H, W, 3] and gives nothing, to measure how long that takes."""
    see = eval_transform(trained.preprocessing) if any_size else None

    def compute(images: NDArray[np.uint8]) -> None:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        seen = pixels if see is None else torch.stack([see(each) for each in pixels])
        with torch.no_grad(), running_a_network():
            trained.module(network_input(seen, trained.preprocessing, trained.machine))

    return compute
