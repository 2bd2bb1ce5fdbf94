"""Checks for augmentations, on images of several shapes, each fitted in each way."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ft.extension.installed import Component
from ft.extension.records import Preprocessing
from ft.testing.trial import Check, NotApplicable, Trial, expect
from ft.testing.worker import search_in

if TYPE_CHECKING:
    import torch

    from ft.data.transforms import Transform

SIDE = 16
SHAPES = ((1, 1), (16, 16), (40, 12), (12, 40))
FITS: tuple[Literal["crop", "squash", "pad"], ...] = ("crop", "squash", "pad")
SEEDS = range(12)


def views_are_squares_of_bytes(trial: Trial) -> None:
    """Of an image of any shape, each view is uint8 [3, S, S], and the image itself stays as it is."""
    for transform in _transforms(trial):
        for shape in SHAPES:
            image = _image(shape)
            before = image.clone()
            made = _view(transform, image, 0)
            expect(made.shape == (3, SIDE, SIDE), f"{trial.label} makes {list(made.shape)} of {list(image.shape)}")
            expect(image.equal(before), f"{trial.label} changes the image that it is given; make another one")


def a_view_follows_from_the_seed(trial: Trial) -> None:
    """The same seed gives the same pixels, whatever was drawn and which images were seen before."""
    for transform in _transforms(trial):
        images = [_image(shape) for shape in SHAPES]
        once = [_digest(_view(transform, image, seed)) for image in images for seed in SEEDS]
        again = [_digest(_view(transform, image, seed)) for image in reversed(images) for seed in reversed(SEEDS)]
        expect(
            once == again[::-1],
            f"{trial.label} makes another view each time; draw with torch's, random's or numpy's own generator, and "
            "keep nothing between two calls",
        )


def another_seed_gives_another_view(trial: Trial) -> None:
    """Among a dozen seeds there are two views at least, if it varies images at all."""
    if not trial.component.record.varies:
        raise NotApplicable("it varies nothing")
    for transform in _transforms(trial):
        made = {_digest(_view(transform, _image((40, 12)), seed)) for seed in SEEDS}
        expect(len(made) > 1, f"{trial.label} makes the same view of an image each time; say varies=False")


def it_can_be_handed_to_another_process(trial: Trial) -> None:
    """Where loader processes are spawned, the transform is pickled, and makes the same views there."""
    for transform in _transforms(trial):
        here = views(transform)
        trial.worker.submit(search_in, [os.path.abspath(path) for path in sys.path]).result()
        try:
            there = trial.worker.submit(views, transform).result()
        except Exception as error:  # pickle raises what it likes
            expect(False, f"{trial.label} cannot be handed to another process: {error!s:.200}; use classes of a module")
        expect(here == there, f"{trial.label} makes other views in another process")


def positions_are_views(trial: Trial) -> None:
    """`positions`, where there are any, are squares of bytes that differ, that itself first, and can be pickled."""
    import pickle

    if trial.component.record.positions is None:
        raise NotApplicable("it draws its views")
    image = _image((SIDE, SIDE))
    from ft.data.augmentation import ChosenAugmentation

    for settings in trial.read_settings():
        positions = ChosenAugmentation(trial.component, settings).positions()
        made = [_digest(position(image)) for position in positions]
        expect(made[:1] == [_digest(image)], f"{trial.label}: the first position is not the image as it is")
        expect(len(set(made)) == len(made), f"{trial.label} has two positions that are alike")
        expect(
            all(position(image).shape == image.shape for position in positions),
            f"{trial.label}: a position is no square of bytes",
        )
        try:
            pickle.dumps(positions)
        except Exception as error:  # pickle raises what it likes
            expect(False, f"{trial.label}: its positions cannot be handed to another process: {error!s:.200}")


def answer(component: Component, argument: None, settings: Any) -> str:
    """The digests of a few views."""
    return views(_transform(component, settings, "crop"))


def views(transform: Transform) -> str:
    """The digests of views of an image."""
    return " ".join(_digest(_view(transform, _image((40, 12)), seed)) for seed in SEEDS)


def _transforms(trial: Trial) -> Iterator[Transform]:
    for settings in trial.read_settings():
        for fit in FITS:
            yield _transform(trial.component, settings, fit)


def _transform(component: Component, settings: Any, fit: Literal["crop", "squash", "pad"]) -> Transform:
    from ft.data.augmentation import ChosenAugmentation
    from ft.data.transforms import train_transform

    chosen = ChosenAugmentation(component, settings)
    return train_transform(Preprocessing(crop_size=SIDE, resize_size=SIDE + 2, fit=fit), chosen)


def _image(shape: tuple[int, int]) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator)


def _view(transform: Transform, image: torch.Tensor, seed: int) -> torch.Tensor:
    from ft.machine.randomness import seeded

    with seeded(seed):
        return transform(image)


def _digest(view: torch.Tensor) -> str:
    return hashlib.sha256(view.contiguous().numpy().tobytes()).hexdigest()[:16]


CHECKS: tuple[Check, ...] = (
    views_are_squares_of_bytes,
    a_view_follows_from_the_seed,
    another_seed_gives_another_view,
    it_can_be_handed_to_another_process,
    positions_are_views,
)
