"""Asks the model of a finished run about images, preprocessed as in training."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from ft.cache.image_source import BroughtImages
from ft.data.batches import Unread
from ft.data.load import Item
from ft.data.loaders import explained_deaths
from ft.data.pictures import Picture
from ft.extension.tasks import Answer
from ft.inference.load import Together, Trained
from ft.inference.prediction import UNCERTAINTY, UNKNOWN, UNLIKE, Prediction, no_number
from ft.inference.views import averaged_batches
from ft.insight.familiar import Familiar, unlikeness
from ft.job import Looking
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.model.layer_notes import noted_layers
from ft.model.reading import read_by
from ft.training.predicting import outputs_for, predict_batches, predict_loaded

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Beside:
    """What is told of images beside the answers: how uncertain these are, and how unlike the images that are familiar
    an image is."""

    uncertainty: bool = False
    familiar: Familiar | None = None

    @property
    def like(self) -> dict[str, float | bool]:
        """What an image might be told."""
        told: dict[str, float | bool] = {UNCERTAINTY: 0.0} if self.uncertainty else {}
        return told | ({UNLIKE: 0.0, UNKNOWN: False} if self.familiar else {})

    def of(self, trained: Trained, outputs: Tensor, features: Tensor) -> Iterator[dict[str, float | bool]]:
        """What is told of images with these outputs [N, K] and features [N, D]."""
        uncertain = trained.task.uncertainty(outputs, trained.space).tolist() if self.uncertainty else ()
        unlike = unlikeness(features, self.familiar).tolist() if self.familiar else ()
        for place in range(len(outputs)):
            told: dict[str, float | bool] = {UNCERTAINTY: uncertain[place]} if self.uncertainty else {}
            yield told | ({UNLIKE: unlike[place], UNKNOWN: unlike[place] > 1} if self.familiar else {})


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network makes of one image: its outputs [K], and what the head reads of it [D], where that is asked
    for, in float32 on the CPU."""

    outputs: Tensor
    features: Tensor


def like(trained: Trained) -> Answer:
    """An answer as an image might get it, which shows what all of them hold."""
    return trained.task.predict(torch.zeros(1, trained.space.outputs), trained.space)[0]


def predict(
    trained: Trained, pictures: Sequence[Picture], display: Display, beside: Beside = Beside()
) -> Iterator[list[Prediction]]:
    """Yield the answers for images, in the order of `pictures`, as soon as each batch is done, with what is told
    `beside` them, or why there is none. Raises FtError for what is wrong with more than one image."""
    done = 0
    for some in seen_or_why(trained, pictures, display, beside.familiar is not None):
        there = [each for each in some if isinstance(each, Seen)]
        answered = iter(_answered(trained, there, beside))
        yield [
            Prediction(picture, None, each) if isinstance(each, str) else Prediction(picture, *next(answered))
            for picture, each in zip(pictures[done : done + len(some)], some, strict=True)
        ]
        done += len(some)


def _answered(
    trained: Trained, seen: Sequence[Seen], beside: Beside
) -> Iterator[tuple[Answer, str, Mapping[str, float | bool]]]:
    if seen:
        outputs, features = torch.stack([each.outputs for each in seen]), torch.stack([each.features for each in seen])
        answers = trained.task.predict(outputs, trained.space)
        for answer, told in zip(answers, beside.of(trained, outputs, features), strict=True):
            yield answer, "", told


def answers_or_why(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Answer | str]]:
    """Yield, in the order of `pictures` and as soon as each batch is done, the answer to each image, or why there is
    none. Raises FtError for what is wrong with more than one image."""
    for some in outputs_or_why(trained, pictures, display):
        there = [each for each in some if isinstance(each, Tensor)]
        answers = iter(trained.task.predict(torch.stack(there), trained.space) if there else ())
        yield [each if isinstance(each, str) else next(answers) for each in some]


def answers_to(trained: Trained, pixels: Tensor, names: Sequence[str], display: Display) -> list[Answer | str]:
    """The answers to one batch of images that are prepared already, uint8 [N, 3, S, S] of these `names`, in one view;
    or why there is none. Raises FtError for what is wrong with more than one image."""
    trained.alone("images that are prepared already")
    with noted_layers(trained.layers), explained_shortage("Try a smaller --batch-size"):
        outputs = outputs_for(trained.module, pixels, trained.looking(display))
    finite = outputs.isfinite().all(1)
    answers = iter(trained.task.predict(outputs[finite], trained.space) if finite.any() else ())
    return [next(answers) if good else no_number(name) for good, name in zip(finite.tolist(), names, strict=True)]


def outputs_or_why(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Tensor | str]]:
    """Yield the same of the outputs [K] for each image, in float32 on the CPU."""
    for some in seen_or_why(trained, pictures, display):
        yield [each.outputs if isinstance(each, Seen) else each for each in some]


def seen_or_why(
    trained: Trained, pictures: Sequence[Picture], display: Display, features: bool = False
) -> Iterator[list[Seen | str]]:
    """Yield the same of what the network makes of each image; `features` are read where they are asked for."""
    if features:
        trained.alone("what the head reads of an image")
    items = [Item(picture, number) for number, picture in enumerate(pictures)]
    unread: dict[int, str] = {}
    with (
        read_by(trained.head) if features else nullcontext(list[Tensor]()) as read,
        outputs_of(trained, items, trained.looking(display), unread=unread.__setitem__) as batches,
    ):
        yield from in_order(_finite_or_why(batches, read, items), unread, len(items))


def _finite_or_why(
    batches: Iterator[tuple[Tensor, Tensor]], read: list[Tensor], items: Sequence[Item]
) -> Iterator[tuple[list[Seen | str], Tensor]]:
    for outputs, numbers in batches:
        features = torch.cat(read)[: len(outputs)] if read else outputs.new_empty(len(outputs), 0)  # of the first view
        there = zip(outputs, features, numbers.tolist(), strict=True)
        read.clear()
        yield [Seen(o, f) if o.isfinite().all() else no_number(items[n].picture.name) for o, f, n in there], numbers


def in_order(
    batches: Iterable[tuple[Iterable[T], Tensor]], unread: dict[int, str], many: int
) -> Iterator[list[T | str]]:
    """Yield what is found of each of so `many` images, in the order of their numbers, from batches of what is found of
    images and of their numbers; or why nothing is, of those that are `unread` by the time that their batch comes."""
    answered = 0
    for found, numbers in batches:
        there = dict(zip(numbers.tolist(), found, strict=True))
        until = max(there) + 1
        yield [there[n] if n in there else unread.pop(n) for n in range(answered, until)]
        answered = until
    if unread:  # those behind the last that could be read
        yield [unread[n] for n in range(answered, many)]


@contextmanager
def outputs_of(
    trained: Trained,
    items: Sequence[Item],
    looking: Looking,
    digests: Mapping[str, str] | None = None,
    images: BroughtImages | None = None,
    unread: Unread | None = None,
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Give the block (outputs, targets) of `items`, whose `images` somebody may bring; without those that are `unread`,
    where somebody is told of them. A model that is asked in several views gives their average, of files alone.

    Loader processes end with it; raises FtError for one that died.
    """
    with (
        noted_layers(trained.layers),
        explained_deaths("With --workers 0 there are none"),
        explained_shortage("Try a smaller --batch-size"),
        closing(
            _of_several(trained.together, items, looking, digests, unread)
            if trained.together is not None
            else _in_views(trained, items, looking, unread)
            if trained.averaged is not None
            else predict_batches(trained.module, items, looking, digests, unread)
            if images is None
            else predict_loaded(trained.module, images, looking)
        ) as batches,
    ):
        yield batches


def _of_several(
    together: Together,
    items: Sequence[Item],
    looking: Looking,
    digests: Mapping[str, str] | None,
    unread: Unread | None,
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """The average of what several models answer, each of which looks at the images in its own way."""
    first, *others = together.members
    told = [unread, *([None if unread is None else _told_already] * len(others))]
    with ExitStack() as opened:
        every = [
            opened.enter_context(
                outputs_of(each, items, replace(looking, preprocessing=each.preprocessing), digests, unread=whom)
            )
            for each, whom in zip(together.members, told, strict=True)
        ]
        for batches in zip(*every, strict=True):
            outputs = torch.stack([outputs for outputs, _ in batches])
            yield first.task.average(outputs, together.space), batches[0][1]


def _told_already(number: int, reason: str) -> None:
    """An image that cannot be read is told of by the first of several models."""


def _in_views(
    trained: Trained, items: Sequence[Item], looking: Looking, unread: Unread | None
) -> Generator[tuple[Tensor, Tensor], None, None]:
    assert trained.averaged is not None
    average = partial(trained.task.average, space=trained.space)
    yield from averaged_batches(trained.module, items, looking, trained.averaged, average, unread)
