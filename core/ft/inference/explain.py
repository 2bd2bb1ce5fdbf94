"""Explains what the model of a finished run answers to images, preprocessed as in training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial

import torch
from torch import Tensor

from ft.data.dataset import ImageDataset
from ft.data.decoding import size_of
from ft.data.image_failures import failure_of
from ft.data.load import Item
from ft.data.loaders import explained_deaths
from ft.data.pictures import Picture
from ft.data.transforms import eval_transform, network_input
from ft.errors import FtError, did_you_mean
from ft.inference.explanation import Explanation
from ft.inference.load import Trained
from ft.inference.predict import in_order
from ft.inference.prediction import no_number
from ft.inference.saliency import as_shares, saliency
from ft.inference.salient_layer import IMAGES, Layer, find_layer
from ft.machine.display import Display
from ft.machine.memory import explained_shortage
from ft.model.layer_notes import noted_layers
from ft.text.counting import some_names
from ft.training.predicting import loader_of

Explain = Callable[[Trained, Sequence[Picture], Display], Iterator[list[Explanation | str]]]
"""Yields, in the order of pictures and as soon as each batch is done, the explanation of each image, or why there is
none. Raises FtError for what is wrong with more than one image."""
Row = tuple[float, str, Tensor]
"""The output, its name, and its map over the network's square."""
Choose = Callable[[Tensor, Tensor], Tensor]
"""From the numbers of pictures [N] and the outputs for them [N, K] to the number of the output that is explained of
each [N]."""


def explainer(trained: Trained, of: str | Sequence[int] | None = None, known: Layer | None = None) -> Explain:
    """How to explain the output that is called `of`, or those of these numbers, one for each picture, or without
    either the answer, by the layer that `layer_of` found, where it is `known`.

    Raises FtError for a name that is none of the label space, where the task needs one, and where no layer of the
    network has places.
    """
    trained.alone("an explanation")
    choose = _choose(trained, of)
    layer = known or layer_of(trained)

    def explain(trained: Trained, pictures: Sequence[Picture], display: Display) -> Iterator[list[Explanation | str]]:
        items = [Item(picture, number) for number, picture in enumerate(pictures)]
        unread: dict[int, str] = {}
        done = 0
        with (
            noted_layers(trained.layers),
            explained_deaths("With --workers 0 there are none"),
            explained_shortage("Try a smaller --batch-size"),
            closing(_rows(trained, layer, choose, items, unread, display)) as batches,
        ):
            for some in in_order(batches, unread, len(items)):
                those = pictures[done : done + len(some)]
                yield [
                    each if isinstance(each, str) else _explanation(trained, layer, picture, each)
                    for picture, each in zip(those, some, strict=True)
                ]
                done += len(some)

    return explain


def layer_of(trained: Trained) -> Layer:
    """The layer by which a model's outputs are explained. Raises FtError where none has places."""
    trained.alone("an explanation")
    side = trained.preprocessing.crop_size
    noise = torch.randn(IMAGES, 3, side, side, generator=torch.Generator().manual_seed(0))
    with noted_layers(trained.layers), explained_shortage("Try --device cpu"):
        return find_layer(trained.module, trained.stages, trained.machine.send(noise))


def _choose(trained: Trained, of: str | Sequence[int] | None) -> Choose:
    names, outputs, task = trained.space.names, trained.space.outputs, trained.task
    noun, nouns = task.record.noun
    if outputs != len(names):
        raise FtError(f"task '{task.name}' has {outputs} outputs for {len(names)} {nouns}, so no output stands for one")
    if of is not None and not isinstance(of, str):
        asked = torch.tensor(of)
        return lambda pictures, given: asked[pictures].to(given.device)
    if of is not None and of not in names:
        raise FtError(f"there is no {noun} '{of}' to explain.{did_you_mean(of, names)} There are: {some_names(names)}")
    if of is not None or outputs == 1:
        number = 0 if of is None else names.index(of)
        return lambda _, given: torch.full((len(given),), number, device=given.device)
    if not task.record.picks_largest:
        raise FtError(
            f"which of {outputs} {nouns} is to be explained? Write --of NAME (in Python of=NAME); there are: "
            f"{some_names(names)}"
        )
    return lambda _, given: given.argmax(1)


def _rows(
    trained: Trained, layer: Layer, choose: Choose, items: Sequence[Item], unread: dict[int, str], display: Display
) -> Generator[tuple[list[Row | str], Tensor], None, None]:
    """Yield, for each batch of images that can be read, what is explained of each, or why nothing is, and their
    numbers."""
    looking = trained.looking(display)
    dataset = ImageDataset(items, eval_transform(looking.preprocessing), seed=None)
    loader = loader_of(dataset, looking, shuffle=False, unread=unread.__setitem__)
    with closing(loader), display.progress("explaining", len(loader), unit="batches") as bar:
        for done, (pixels, numbers, _) in enumerate(loader.epoch(0), start=1):
            images = network_input(pixels, looking.preprocessing, looking.machine)
            with looking.machine.autocast():
                found = saliency(trained.module, layer, images, partial(choose, numbers))
            values, picked = found.outputs.gather(1, found.picked[:, None])[:, 0].cpu(), found.picked.cpu()
            maps = as_shares(found.maps, pixels.shape[-1]).cpu()
            fine = (found.outputs.isfinite().all(1) & found.maps.isfinite().flatten(1).all(1)).tolist()
            yield (
                [
                    (float(value), trained.space.names[output], each) if good else no_number(items[number].picture.name)
                    for value, output, each, good, number in zip(
                        values, picked.tolist(), maps, fine, numbers.tolist(), strict=True
                    )
                ],
                numbers,
            )
            bar.advance(done)
            looking.stop.check()


def _explanation(trained: Trained, layer: Layer, picture: Picture, row: Row) -> Explanation | str:
    try:
        height, width = size_of(picture.read())
    except Exception as error:  # as where images are read: it was there when the network saw it
        return f"cannot read the image {picture.name}: {failure_of(error, picture.name)}"
    name = "" if picture.path is None else picture.name
    value, of, seen = row
    return Explanation(name, of, value, layer.method, layer.path, seen, height, width, trained.preprocessing, picture)
