"""Which images Python code gives: paths, pictures, arrays and tensors, one or many."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from glob import has_magic
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ft.data.pictures import Picture
from ft.errors import FtError
from ft.inference.asked_images import image_path
from ft.text.counting import with_article

One = str | os.PathLike[str] | bytes | Image.Image
"""What is one image: a path, what an encoded file holds, or a picture in any mode."""
Pixels = NDArray[Any] | Tensor
"""One image or a batch: an array [H, W, 3], [H, W] or [N, H, W, 3], a tensor [3, H, W], [H, W] or [N, 3, H, W], of
uint8."""
_ONE = (str, os.PathLike, bytes, Image.Image)
TAKEN = (
    "an image is a path, a PIL image, the bytes of a file, an array [H, W, 3] or a tensor [3, H, W] of uint8; several "
    "are a list"
)


def is_one(images: Any) -> bool:
    """Whether this is one image, and no batch or iterable of them. Raises FtError for what is neither."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "UO":
        return images.ndim < 4
    if isinstance(images, Tensor):
        return images.ndim < 4
    if isinstance(images, _ONE):
        return True
    if isinstance(images, Mapping) or hasattr(images, "read") or not isinstance(images, Iterable):
        raise FtError(f"{with_article(type(images).__name__)} is no image; {TAKEN}")
    return False


def in_groups(images: Iterable[Any], size: int) -> Iterator[tuple[bool, list[Picture]]]:
    """Images in their order as they are read together: all files in a row, and of others a batch at a time."""
    numbered = enumerate(images)
    for are_files, group in groupby(numbered, lambda each: isinstance(each[1], str | os.PathLike)):
        pictures = (_picture(each, number) for number, each in group)
        if are_files:
            yield True, list(pictures)
        else:
            yield from ((False, some) for some in _batches_of(pictures, size))


def _batches_of(pictures: Iterator[Picture], size: int) -> Iterator[list[Picture]]:
    """The batches that a list of as many would have: a single one at the end joins those before it."""
    waiting: list[Picture] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size + 2:
            yield waiting[:size]
            del waiting[:size]
    if waiting:
        yield waiting


def _picture(given: Any, number: int) -> Picture:
    """Where an image comes from. Raises FtError for what is none."""
    name = f"images[{number}]"
    if isinstance(given, str | os.PathLike):
        path = image_path(os.fsdecode(given))
        if path.is_dir():
            raise FtError(f"{path} is a folder; give its images, as in sorted(Path({str(path)!r}).glob('*.jpg'))")
        if has_magic(str(path)) and not path.exists():
            raise FtError(f"there is no image {path}; give what matches, as in sorted(Path().glob({str(path)!r}))")
        return Picture.at(path)
    if isinstance(given, bytes | Image.Image):
        return Picture(name, open=partial(_itself, given))
    if isinstance(given, np.ndarray | Tensor):
        return Picture(name, open=partial(_itself, _pixels(given, name)))
    raise FtError(f"{name} is {with_article(type(given).__name__)}; {TAKEN}")


def _itself(given: Any) -> Any:
    return given


def _pixels(given: Pixels, name: str) -> NDArray[Any]:
    """An array [H, W, 3] or [H, W]. Raises FtError for another form, and for values of which nobody knows the range."""
    shape, kind, is_tensor = list(given.shape), kind_of(given), isinstance(given, Tensor)
    channels = shape[0 if is_tensor else 2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in ((1, 3) if is_tensor else (1, 3, 4)):
        wanted, how = ("[3, H, W]", "tensor.permute") if is_tensor else ("[H, W, 3]", "array.transpose")
        turned = "(2, 0, 1)" if is_tensor else "(1, 2, 0)"
        raise FtError(f"{name} is {shape}; one image is {wanted} or [H, W]. {how}{turned} turns the other form into it")
    if kind not in (("uint8", "bool", "uint16") if len(shape) == 2 else ("uint8",)):
        made = "(image * 255).round().to(torch.uint8)" if is_tensor else "(image * 255).round().astype('uint8')"
        raise FtError(f"{name} is of {kind}, where nobody knows what is white; give 0 to 255 in uint8, as in {made}")
    if not isinstance(given, Tensor):
        return given
    pixels = given.detach().cpu().numpy()
    return pixels.transpose(1, 2, 0) if len(shape) == 3 else pixels


def kind_of(pixels: Pixels) -> str:
    """The type of an array's or a tensor's elements, as numpy calls it."""
    return str(pixels.dtype).removeprefix("torch.")
