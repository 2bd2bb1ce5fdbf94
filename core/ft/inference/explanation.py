"""What an answer came from: a map over an image, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ft.data.geometry import Part, laid_out, seen_part
from ft.data.pictures import Picture
from ft.data.transforms import read_image
from ft.errors import FtError
from ft.extension.records import Preprocessing
from ft.inference.overlay import draw_overlay

LONGER_SIDE = 1024
"""Pixels of the longer side of a drawn overlay."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where in an image lies what one output of a network comes from.

    `image` is its path as it was given, "" for an image that is no file. `of` is the name of the output, as a class or
    a target, and `output` its value, before any softmax. `method` and the `layer` say how the map was made. `seen`
    [S, S] is the map over the square that the network saw, in float32, from 0 to 1, its maximum; where nothing spoke
    for the output it is 0 everywhere. `height` and `width` are those of the image.
    """

    image: str
    of: str
    output: float
    method: Literal["Grad-CAM", "LayerCAM"]
    layer: str
    seen: Tensor
    height: int
    width: int
    preprocessing: Preprocessing = field(repr=False)
    _picture: Picture = field(repr=False)

    def __repr__(self) -> str:
        nothing = ", nothing" if self.empty else ""
        return f"<{self.image or 'image'}: {self.of} {self.output:.4g} by {self.method} at {self.layer}{nothing}>"

    @property
    def said_how(self) -> str:
        """The method, where it comes from, and the layer."""
        paper = "Selvaraju et al. 2017" if self.method == "Grad-CAM" else "Jiang et al. 2021"
        return f"{self.method} ({paper}) at {self.layer}"

    @property
    def empty(self) -> bool:
        """Whether nothing in the image spoke for the output, as far as the method can tell."""
        return not bool(self.seen.any())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, in pixels of the image, of what the network saw of it."""
        return self._part(self.height, self.width).inside(self.height, self.width)

    @property
    def map(self) -> Tensor:
        """The map over the image as it is, upright: [H, W] in float32; 0 where the network saw nothing, which `box`
        leaves out."""
        return laid_out(self.seen, self._part(self.height, self.width), self.height, self.width)

    def overlay(self, longer_side: int = LONGER_SIDE) -> Image.Image:
        """The map drawn over the image in grey, RGB, with so many pixels along the longer side, or the image's own
        where they are fewer. The image is read once more; raises FtError where it cannot be."""
        if longer_side < 1:
            raise FtError(f"an overlay has at least 1 pixel along its longer side, not {longer_side}")
        scale = min(1.0, longer_side / max(self.height, self.width))
        height, width = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        pixels = read_image(self._picture, None, self.preprocessing.value_range, longer_side)
        picture = F.to_pil_image(pixels).resize((width, height), Image.Resampling.LANCZOS)
        part = self._part(self.height, self.width)
        across, down = width / self.width, height / self.height
        part = Part(part.left * across, part.top * down, part.right * across, part.bottom * down)
        return draw_overlay(picture, laid_out(self.seen, part, height, width).numpy(), part)

    def _part(self, height: int, width: int) -> Part:
        return seen_part(self.preprocessing, height, width)
