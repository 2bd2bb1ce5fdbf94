"""Classifies images with the model of a finished run, preprocessed as in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ft.cache.image_source import BroughtImages
from ft.data.batches import Unread
from ft.data.load import Item
from ft.data.loaders import explained_deaths
from ft.data.pictures import Picture
from ft.inference.load import Trained
from ft.job import Looking
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.model.layer_notes import noted_layers
from ft.training.predicting import predict_batches, predict_loaded


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of one image, with their probabilities, the likeliest first; or none, and why."""

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    error: str = ""


def predict(trained: Trained, paths: Sequence[Path], top: int, display: Display) -> Iterator[list[Prediction]]:
    """Yield the answers for images, in the order of `paths`, as soon as each batch is done: the `top` likeliest classes
    of each image, or why there is no answer. Raises FtError for what is wrong with more than one image."""
    answered = 0
    for some in logits_or_why(trained, [Picture.at(path) for path in paths], display):
        yield [_answer(path, each, trained.classes, top) for path, each in zip(paths[answered:], some, strict=False)]
        answered += len(some)


def logits_or_why(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Tensor | str]]:
    """Yield, in the order of `pictures` and as soon as each batch is done, the logits [C] of each image in float32 on
    the CPU, or why there are none. Raises FtError for what is wrong with more than one image."""
    items = [Item(picture, number) for number, picture in enumerate(pictures)]
    unread: dict[int, str] = {}
    answered = 0
    with logits_of(trained, items, trained.looking(display), unread=unread.__setitem__) as batches:
        for logits, numbers in batches:
            there = dict(zip(numbers.tolist(), logits, strict=True))
            until = max(there) + 1
            yield [_finite_or_why(there[n], items[n]) if n in there else unread.pop(n) for n in range(answered, until)]
            answered = until
    if unread:  # those behind the last that could be read
        yield [unread[n] for n in range(answered, len(items))]


def _finite_or_why(logits: Tensor, item: Item) -> Tensor | str:
    return logits if logits.isfinite().all() else no_number(item.picture.name)


def _answer(path: Path, logits: Tensor | str, classes: Sequence[str], top: int) -> Prediction:
    if isinstance(logits, str):
        return Prediction(path, (), (), logits)
    best = logits.softmax(0).topk(min(top, len(classes)))
    return Prediction(path, tuple(classes[i] for i in best.indices.tolist()), tuple(best.values.tolist()))


@contextmanager
def logits_of(
    trained: Trained,
    items: Sequence[Item],
    looking: Looking,
    digests: Mapping[str, str] | None = None,
    images: BroughtImages | None = None,
    unread: Unread | None = None,
) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
    """Give the block (logits, labels) of `items`, whose `images` somebody may bring; without those that are `unread`,
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
