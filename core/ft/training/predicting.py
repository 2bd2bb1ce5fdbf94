"""Sends images through the whole network, in eval mode."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing

import torch
from torch import nn

from ft.cache.image_source import BroughtImages
from ft.cache.kept_images import KeptImages
from ft.config.schema import Config
from ft.data.batches import Unread
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.loaders import Loader, make_loader
from ft.data.transforms import eval_transform, network_input
from ft.extension.records import Preprocessing
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.machine.turns import running_a_network


def predict_batches(
    module: nn.Module,
    items: Sequence[Item],
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest | None = None,
    digests: Mapping[str, str] | None = None,
    unread: Unread | None = None,
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Yield (logits [N, C] in float32, labels [N]), both on the CPU, for `items` in their order; in eval mode.

    Raises FtError for a bad image, and one that has not the digest that is told; where somebody is told of those that
    are `unread`, they are left out.
    """
    dataset = ImageDataset(items, eval_transform(preprocessing), seed=None, digests=digests)
    stop = stop or StopRequest()
    with closing(loader_of(dataset, config, machine, False, stop, unread)) as loader:
        yield from predict_loaded(module, loader, preprocessing, machine, display, stop)


def predict_loaded(
    module: nn.Module,
    images: Loader | KeptImages | BroughtImages,
    preprocessing: Preprocessing,
    machine: Machine,
    display: Display,
    stop: StopRequest,
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Yield the same for images that something brings in its batches."""
    module.eval()
    with display.progress("evaluating", len(images)) as bar:
        for done, (pixels, labels, _) in enumerate(images.epoch(0), start=1):
            with running_a_network(), torch.no_grad(), machine.autocast():
                logits = module(network_input(pixels, preprocessing, machine))
            yield logits.float().cpu(), labels
            bar.advance(done)
            stop.check()


def loader_of(
    dataset: ImageDataset,
    config: Config,
    machine: Machine,
    shuffle: bool,
    stop: StopRequest,
    unread: Unread | None = None,
) -> Loader:
    """The processes that decode a data set in the config's batches."""
    size, workers = config.training.batch_size, config.machine.workers
    return make_loader(dataset, size, workers, machine.device, shuffle=shuffle, stop=stop, unread=unread)
