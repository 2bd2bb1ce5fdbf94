"""From image files to the tensors a backbone was pretrained on.

Images stay bytes (uint8) for as long as they can: decoding, resizing and augmenting them, handing them from process to
process and keeping them all cost a quarter of what floats would. `network_input` makes the floats, batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional as F

from ft.config.images import ImagesConfig
from ft.data.augmentation import ChosenAugmentation, Step
from ft.data.decoding import decode_image
from ft.data.image_failures import failure_of
from ft.data.pictures import Picture, content_digest
from ft.data.pixels import image_to_tensor
from ft.data.resizing import FILTERS, MOST_SIDES, SPARE, least_side, mean_colour, resize_centre, resized
from ft.data.values import Range
from ft.errors import FtError
from ft.extension.records import Interpolation, Preprocessing
from ft.machine.devices import Machine


@dataclass(frozen=True)
class Transform:
    """What becomes of an image: how its values are read, and the steps from uint8 [3, H, W] to uint8 [3, S, S]."""

    steps: tuple[Step, ...]
    value_range: Range | None = None
    least: int | None = None
    """Pixels of the shorter side that an image is to keep if it is decoded at a smaller size."""
    varied: tuple[Step, ...] = ()
    """Further steps, where the first ones make of an image what evaluation sees: from there on it may be a view."""
    positions: tuple[Step, ...] = ()
    """All that the further steps make of that, each as often as the others, where that is a handful."""

    def __call__(self, image: Tensor) -> Tensor:
        for step in self.steps:
            image = step(image)
        return self.vary(image)

    def replaying(self, drawn: int, view: int) -> Transform:
        """The transform that makes this view of an image, of which `drawn` was drawn: of a handful of positions each
        comes once before one comes again."""
        if not self.positions:
            return self
        return replace(self, varied=(self.positions[(drawn + view) % len(self.positions)],))

    def vary(self, image: Tensor) -> Tensor:
        """Take the further steps alone, from [3, S, S]."""
        for step in self.varied:
            image = step(image)
        return image


# Pillow is what backbones were pretrained with. On tensors, nearest chooses other pixels, and lanczos is recent.
_BY_PILLOW = ("nearest", "lanczos")
_MODES: dict[Interpolation, InterpolationMode] = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.BICUBIC,
}
_LONGEST_PADDED = (
    4096  # pixels of the longer side from which an image that is padded to a square is made smaller before
)


def read_image(
    picture: Picture, digest: str | None = None, value_range: Range | None = None, least: int | None = None
) -> Tensor:
    """Return an image as a uint8 tensor [3, H, W], with `value_range` and `least` as in `decode_image`.

    Raises FtError naming it, also when its content has not the sha256 `digest` (any more).
    """
    try:
        content = picture.read()
        if digest is None or content_digest(content) == digest:
            return image_to_tensor(decode_image(content, value_range, least))
    except Exception as error:
        raise FtError(f"cannot read the image {picture.name}: {failure_of(error, picture.name)}") from error
    raise FtError(f"{picture.name} changed since the run began; run the same command again")


def effective_preprocessing(published: Preprocessing, images: ImagesConfig) -> Preprocessing:
    """What a run does to pixels: as published, with the size (the resize keeps its proportion), the fit and the range
    of values asked for."""
    size = images.size or published.crop_size
    resize = round(published.resize_size * size / published.crop_size)
    fit, values = images.fit or published.fit, images.value_range or published.value_range
    return replace(published, crop_size=size, resize_size=resize, fit=fit, value_range=values)


def eval_transform(preprocessing: Preprocessing) -> Transform:
    """The published resize and crop, without any randomness."""
    return Transform((partial(_square, preprocessing),), preprocessing.value_range, least_side(preprocessing))


def train_transform(preprocessing: Preprocessing, augmentation: ChosenAugmentation) -> Transform:
    """The transform for training images. It draws from generators that may be seeded, and from nothing else."""
    if not augmentation.record.varies:
        return eval_transform(preprocessing)
    varied, smallest = augmentation.build(preprocessing), augmentation.smallest_section
    if smallest is None:
        return replace(eval_transform(preprocessing), varied=(varied,), positions=augmentation.positions())
    least = round(least_side(preprocessing) / smallest**0.5)
    return Transform((partial(_fitted, preprocessing, smallest), varied), preprocessing.value_range, least)


def network_input(pixels: Tensor, preprocessing: Preprocessing, machine: Machine) -> Tensor:
    """Make of uint8 images [N, 3, S, S] what the network takes: normalised float32, on the device, in its layout."""
    return machine.send(normalise(pixels.to(machine.device, non_blocking=True), preprocessing))


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Make of uint8 images [..., 3, S, S] float32 ones, as published: to [0, 1], less the mean, by the deviation."""
    # Channel by channel in memory, because a subtraction with three values in its inner loop is slow.
    scaled = F.to_dtype(pixels.contiguous(), torch.float32, scale=True)
    normalised: Tensor = F.normalize(scaled, list(preprocessing.mean), list(preprocessing.std), inplace=True)
    return normalised


def _square(preprocessing: Preprocessing, image: Tensor) -> Tensor:
    """Resize, and cut or fill, to [3, S, S] in uint8."""
    side = preprocessing.crop_size
    height, width = image.shape[-2:]
    size = resized(preprocessing, height, width)
    if preprocessing.fit == "crop":
        shorter = preprocessing.resize_size
        strip = max(size) > MOST_SIDES * shorter
        whole = _resize_centre(preprocessing, image, size) if strip else _resize(preprocessing, image, size)
        cut: Tensor = F.center_crop(whole, [side, side])
        return cut
    square = _resize(preprocessing, image, size)
    return square if preprocessing.fit == "squash" else _pad(preprocessing, square)


def _fitted(preprocessing: Preprocessing, smallest: float, image: Tensor) -> Tensor:
    """Bring an image that a section is taken of, `smallest` of its area or more, into the form that evaluation sees:
    squashed, padded, or as it is."""
    if preprocessing.fit == "squash":  # large enough that the smallest section has a pixel for every one it becomes
        side = round(preprocessing.crop_size / smallest**0.5)
        return _resize(preprocessing, image, (side, side))
    return _pad(preprocessing, _not_too_long(preprocessing, smallest, image)) if preprocessing.fit == "pad" else image


def _not_too_long(preprocessing: Preprocessing, smallest: float, image: Tensor) -> Tensor:
    """Make what would be a very large square smaller, with two pixels for each that the smallest section becomes."""
    height, width = image.shape[-2:]
    longer, most = max(height, width), round(SPARE * preprocessing.crop_size / smallest**0.5)
    if longer <= max(most, _LONGEST_PADDED):
        return image
    return _resize(preprocessing, image, (max(1, round(height * most / longer)), max(1, round(width * most / longer))))


def _pad(preprocessing: Preprocessing, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    down, across = max(0, width - height), max(0, height - width)
    sides = [across // 2, down // 2, across - across // 2, down - down // 2]
    padded: Tensor = F.pad(image, sides, fill=mean_colour(preprocessing))
    return padded


def _resize_centre(preprocessing: Preprocessing, image: Tensor, size: tuple[int, int]) -> Tensor:
    return image_to_tensor(resize_centre(preprocessing, F.to_pil_image(image), size))


def _resize(preprocessing: Preprocessing, image: Tensor, size: tuple[int, int]) -> Tensor:
    if preprocessing.interpolation in _BY_PILLOW:
        filter_ = FILTERS[preprocessing.interpolation]
        return image_to_tensor(F.to_pil_image(image).resize((size[1], size[0]), filter_))
    resized: Tensor = F.resize(image, list(size), interpolation=_MODES[preprocessing.interpolation], antialias=True)
    return resized
