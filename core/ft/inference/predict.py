"""Asks the model of a finished run about images, preprocessed as in training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ft.cache.image_source import BroughtImages
from ft.data.batches import Unread
from ft.data.load import Item
from ft.data.loaders import explained_deaths
from ft.data.pictures import Picture
from ft.extension.tasks import Answer
from ft.inference.load import Trained
from ft.job import Looking
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.model.layer_notes import noted_layers
from ft.training.predicting import predict_batches, predict_loaded

T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What the model answers to one image; or nothing, and why."""

    path: Path
    answer: Answer | None
    error: str = ""


def like(trained: Trained) -> Answer:
    """An answer as an image might get it, which shows what all of them hold."""
    return trained.task.predict(torch.zeros(1, trained.space.outputs), trained.space)[0]


def predict(trained: Trained, paths: Sequence[Path], display: Display) -> Iterator[list[Prediction]]:
    """Yield the answers for images, in the order of `paths`, as soon as each batch is done, or why there is none.
    Raises FtError for what is wrong with more than one image."""
    done = 0
    for some in answers_or_why(trained, [Picture.at(path) for path in paths], display):
        yield [
            Prediction(path, None, each) if isinstance(each, str) else Prediction(path, each)
            for path, each in zip(paths[done:], some, strict=False)
        ]
        done += len(some)


def answers_or_why(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Answer | str]]:
    """Yield, in the order of `pictures` and as soon as each batch is done, the answer to each image, or why there is
    none. Raises FtError for what is wrong with more than one image."""
    for some in outputs_or_why(trained, pictures, display):
        there = [each for each in some if not isinstance(each, str)]
        answers = iter(trained.task.predict(torch.stack(there), trained.space) if there else ())
        yield [each if isinstance(each, str) else next(answers) for each in some]


def outputs_or_why(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Tensor | str]]:
    """Yield the same of the outputs [K] for each image, in float32 on the CPU."""
    items = [Item(picture, number) for number, picture in enumerate(pictures)]
    unread: dict[int, str] = {}
    with outputs_of(trained, items, trained.looking(display), unread=unread.__setitem__) as batches:
        yield from in_order(_finite_or_why(batches, items), unread, len(items))


def _finite_or_why(
    batches: Iterator[tuple[Tensor, Tensor]], items: Sequence[Item]
) -> Iterator[tuple[list[Tensor | str], Tensor]]:
    for outputs, numbers in batches:
        there = zip(outputs, numbers.tolist(), strict=True)
        yield [each if each.isfinite().all() else no_number(items[n].picture.name) for each, n in there], numbers


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
    where somebody is told of them.

    Loader processes end with it; raises FtError for one that died.
    """
    with (
        noted_layers(trained.layers),
        explained_deaths("With --workers 0 there are none"),
        explained_shortage("Try a smaller --batch-size"),
        closing(
            predict_batches(trained.module, items, looking, digests, unread)
            if images is None
            else predict_loaded(trained.module, images, looking)
        ) as batches,
    ):
        yield batches


def no_number(image: str) -> str:
    return f"the model makes no number (NaN or infinite) of {image}; are its files those of the run?"
