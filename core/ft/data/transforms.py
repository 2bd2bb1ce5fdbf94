"""From image files to the tensors a backbone was pretrained on.

Images stay bytes (uint8) for as long as they can: decoding, resizing and augmenting them, handing them from process to
process and keeping them all cost a quarter of what floats would. `network_input` makes the floats, batch by batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional as F

from ft.config.images import ImagesConfig
from ft.data.augmentation import ChosenAugmentation, Step
from ft.data.decoding import decode_image, image_to_tensor
from ft.data.geometry import resized
from ft.data.image_failures import failure_of
from ft.data.pictures import Picture, content_digest
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
_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MODES: dict[Interpolation, InterpolationMode] = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.BICUBIC,
}
_SPARE = (
    2  # decoded pixels, along either side, for each one that an image is resized to, where a JPEG is decoded smaller
)
MOST_SIDES = 64  # how many times as long as wide an image may be before only its middle is resized
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
    return Transform((partial(_square, preprocessing),), preprocessing.value_range, _least(preprocessing))


def train_transform(preprocessing: Preprocessing, augmentation: ChosenAugmentation) -> Transform:
    """The transform for training images. It draws from generators that may be seeded, and from nothing else."""
    if not augmentation.record.varies:
        return eval_transform(preprocessing)
    varied, smallest = augmentation.build(preprocessing), augmentation.smallest_section
    if smallest is None:
        return replace(eval_transform(preprocessing), varied=(varied,), positions=augmentation.positions())
    least = round(_least(preprocessing) / smallest**0.5)
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


def _least(preprocessing: Preprocessing) -> int:
    """Twice what the shorter side is resized to: from there on a smaller decoded image is hardly another one."""
    resized = preprocessing.resize_size if preprocessing.fit == "crop" else preprocessing.crop_size
    return _SPARE * max(resized, preprocessing.crop_size)


def _square(preprocessing: Preprocessing, image: Tensor) -> Tensor:
    """Resize, and cut or fill, to [3, S, S] in uint8."""
    side = preprocessing.crop_size
    height, width = image.shape[-2:]
    size = resized(preprocessing, height, width)
    if preprocessing.fit == "crop":
        shorter = preprocessing.resize_size
        whole = _resize if max(size) <= MOST_SIDES * shorter else _resize_centre
        cut: Tensor = F.center_crop(whole(preprocessing, image, size), [side, side])
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
    longer, most = max(height, width), round(_SPARE * preprocessing.crop_size / smallest**0.5)
    if longer <= max(most, _LONGEST_PADDED):
        return image
    return _resize(preprocessing, image, (max(1, round(height * most / longer)), max(1, round(width * most / longer))))


def _pad(preprocessing: Preprocessing, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    down, across = max(0, width - height), max(0, height - width)
    sides = [across // 2, down // 2, across - across // 2, down - down // 2]
    padded: Tensor = F.pad(image, sides, fill=_mean_colour(preprocessing))
    return padded


def _mean_colour(preprocessing: Preprocessing) -> list[float]:
    """What the network sees as nothing: 0 once it is normalised, but for rounding."""
    return [float(round(255 * mean)) for mean in preprocessing.mean]


def _resize_centre(preprocessing: Preprocessing, image: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of what `_resize` makes of a long strip, as large as the crop, without making the rest of it.

    Pixels differ by one or two levels of grey, as Pillow rounds otherwise than torch; with "lanczos" they may differ by
    more at hard edges, and "nearest" may take a neighbour.
    """
    height, width = image.shape[-2:]
    rows, columns = (min(length, preprocessing.crop_size) for length in size)
    top, left = (
        round((length - part) / 2) for length, part in zip(size, (rows, columns), strict=True)
    )  # as center_crop
    filter_, whole = _FILTERS[preprocessing.interpolation], F.to_pil_image(image)
    # One direction after the other, since Pillow otherwise begins with the one that suits it, and rounds between them.
    from_, to = left * width / size[1], (left + columns) * width / size[1]
    strip = whole.resize((columns, height), filter_, (from_, 0, to, height))
    from_, to = top * height / size[0], (top + rows) * height / size[0]
    return image_to_tensor(strip.resize((columns, rows), filter_, (0, from_, columns, to)))


def _resize(preprocessing: Preprocessing, image: Tensor, size: tuple[int, int]) -> Tensor:
    if preprocessing.interpolation in _BY_PILLOW:
        filter_ = _FILTERS[preprocessing.interpolation]
        return image_to_tensor(F.to_pil_image(image).resize((size[1], size[0]), filter_))
    resized: Tensor = F.resize(image, list(size), interpolation=_MODES[preprocessing.interpolation], antialias=True)
    return resized
