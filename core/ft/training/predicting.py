"""Sends images through the whole network, in eval mode."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing

import torch
from torch import nn

from ft.cache.image_source import BroughtImages
from ft.cache.kept_images import KeptImages
from ft.data.batches import Unread
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.loaders import Loader, Workers, make_loader
from ft.data.order import Shuffle
from ft.data.transforms import eval_transform, network_input
from ft.job import Looking
from ft.machine.turns import running_a_network


def predict_batches(
    module: nn.Module,
    items: Sequence[Item],
    looking: Looking,
    digests: Mapping[str, str] | None = None,
    unread: Unread | None = None,
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Yield (outputs [N, K] in float32, targets [N, ...]), both on the CPU, for `items` in their order; in eval mode.

    Raises FtError for a bad image, and one that has not the digest that is told; where somebody is told of those that
    are `unread`, they are left out.
    """
    dataset = ImageDataset(items, eval_transform(looking.preprocessing), seed=None, digests=digests)
    with closing(loader_of(dataset, looking, shuffle=False, unread=unread)) as loader:
        yield from predict_loaded(module, loader, looking)


def predict_loaded(
    module: nn.Module, images: Loader | KeptImages | BroughtImages, looking: Looking
) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
    """Yield the same for images that something brings in its batches."""
    module.eval()
    with looking.display.progress("evaluating", len(images), unit="batches") as bar:
        for done, (pixels, targets, _) in enumerate(images.epoch(0), start=1):
            yield outputs_for(module, pixels, looking), targets
            bar.advance(done)
            looking.stop.check()


def outputs_for(module: nn.Module, pixels: torch.Tensor, looking: Looking) -> torch.Tensor:
    """The outputs [N, K], in float32 on the CPU, of a network in eval mode for uint8 images [N, 3, S, S]."""
    with running_a_network(), torch.no_grad(), looking.machine.autocast():
        outputs: torch.Tensor = module(network_input(pixels, looking.preprocessing, looking.machine))
    return outputs.float().cpu()


def loader_of(dataset: ImageDataset, looking: Looking, shuffle: Shuffle, unread: Unread | None = None) -> Loader:
    """The processes that decode a data set in batches of that size."""
    workers = Workers(looking.workers, looking.machine.device)
    return make_loader(dataset, looking.batch_size, workers, shuffle, looking.stop, unread)
