"""What a run's model is familiar with: the features of its training images, kept small in the run's folder.

A run keeps them as it ends, where it has them at hand. Else they are computed where they are first asked for, on the
machine that has the images, and go with the folder from there.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ft.data.image_list import ListedImage, listed_images
from ft.data.load import Item
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.inference.load import Trained
from ft.inference.predict import outputs_of
from ft.insight.familiar import Familiar, familiar_with
from ft.machine.display import Display
from ft.machine.files import CannotWrite, sha256_of
from ft.model.reading import read_by
from ft.run.checkpoints import load_tensors, save_tensors
from ft.text.counting import number_of
from ft.text.names import typed

T = TypeVar("T")
FILE = "familiar.safetensors"
"""In the run's folder: `directions` [N, D] in float16, `mean` [D], `limit` [1], and the SHA-256 of the model that they
are of, `model` [32] in uint8."""
MOST_BYTES, MOST_IMAGES = 16e6, 4000
"""Of more training images a part is kept, drawn by chance: the limit is measured from the same ones."""
FEWEST = 20
"""Validation images below which the limit is uncertain, and said to be."""


def familiar_images(trained: Trained, folder: Path, display: Display) -> Familiar:
    """What the model of the run in `folder` is familiar with: as it was kept there, or computed from the run's images,
    and then kept. Raises FtError where it is neither kept nor can be computed, the images being elsewhere."""
    trained.alone("unlike, and --unknown")
    path = folder / FILE
    if path.exists() and (kept := _kept(path, _model_in(folder))):
        return kept
    train, val = _computed(replace(trained, averaged=None), folder, display)
    if len(val) < FEWEST:
        display.warn(f"from which distance on an image is unknown follows from {len(val)} validation images alone")
    try:
        return keep_familiar(folder, train, val)
    except CannotWrite as error:
        display.warn(f"{error}; what the model is familiar with is computed anew each time")
        return familiar_with(train, val)


def keep_familiar(folder: Path, train: Tensor, val: Tensor) -> Familiar:
    """Keep what the model of the run in `folder` is familiar with, of what the head reads of its training images [N, D]
    and validation images [M, D]; of many training images a part. Raises CannotWrite."""
    places = _chosen(range(len(train)), _most_kept(train.shape[1]))
    familiar = familiar_with(train[places], val)
    content = {"directions": familiar.directions, "mean": familiar.mean, "limit": torch.tensor([familiar.limit])}
    save_tensors(folder / FILE, {**content, "model": _model_in(folder)})
    return familiar


def _model_in(folder: Path) -> Tensor:
    return torch.tensor(list(bytes.fromhex(sha256_of(folder / "model.safetensors"))), dtype=torch.uint8)


def _most_kept(width: int) -> int:
    """How many training images are kept whose features are so many numbers."""
    return max(1, min(MOST_IMAGES, int(MOST_BYTES / (2 * width))))


def _kept(path: Path, model: Tensor) -> Familiar | None:
    """What is kept of this model; None of another one, as before the run went on. Raises FtError for another file."""
    found = load_tensors(path)
    try:
        directions, mean, limit = found["directions"], found["mean"], found["limit"]
        same = found["model"].equal(model)
        fits = directions.shape[1:] == mean.shape and len(directions) > 0 and limit.shape == (1,) and float(limit) > 0
    except (KeyError, TypeError):
        fits = same = False
    if not fits or not all(bool(each.isfinite().all()) for each in (directions, mean, limit)):
        raise FtError(f"{path} is not what ft writes; delete it, and it is made anew from the run's images")
    return Familiar(directions, mean, float(limit)) if same else None


def _computed(trained: Trained, folder: Path, display: Display) -> tuple[Tensor, Tensor]:
    """What the head reads of training and of validation images of the run."""
    listed = [each for each in listed_images(trained.image_list) if each.split in ("train", "val")]
    there = _still_there(listed, folder, display)
    train, val = (_chosen([each for each in there if each.split == split], MOST_IMAGES) for split in ("train", "val"))
    display.say(
        f"looking once at {number_of(len(train), 'training image')} and {len(val)} of validation, to know what the "
        f"model is familiar with; it is kept in {folder / FILE}"
    )
    of_val = _features(trained, val, folder, display)
    return _features(trained, _chosen(train, _most_kept(of_val.shape[1])), folder, display), of_val


def _chosen(images: Sequence[T], most: int) -> list[T]:
    return list(images) if len(images) <= most else random.Random(0).sample(images, most)


def _still_there(listed: Sequence[ListedImage], folder: Path, display: Display) -> list[ListedImage]:
    """The images that are where the run had them. Raises FtError where more than half are not, or a split has none."""
    there = [each for each in listed if os.path.isfile(each.path)]
    gone = len(listed) - len(there)
    if gone > len(there) or {each.split for each in there} != {"train", "val"}:
        raise FtError(
            f"--unknown compares with the training images, and {gone} of {number_of(len(listed), 'image')} of the run "
            f"are not where {folder / 'images.csv'} says. Where they are, "
            f"{typed('ft', 'predict', folder, 'IMAGE', '--unknown')} writes {FILE}, which goes with the folder"
        )
    if gone:
        display.warn(f"{gone} of {number_of(len(listed), 'image')} of the run are gone; the others are looked at")
    return there


def _features(trained: Trained, images: Sequence[ListedImage], folder: Path, display: Display) -> Tensor:
    """What the head reads of images [N, D]. Raises FtError for one that changed since the run, or cannot be read."""
    items = [Item(Picture.at(Path(each.path)), 0) for each in images]
    digests = {item.picture.name: each.digest for item, each in zip(items, images, strict=True)}
    with read_by(trained.head) as read, outputs_of(trained, items, trained.looking(display), digests) as batches:
        for _ in batches:
            pass
    features = torch.cat(read)
    features = features[features.isfinite().all(1)]
    if not len(features):
        raise FtError(f"the model in {folder} makes no number (NaN or infinite) of its own images")
    return features
