"""What the training loop is fed with: images through the whole network, or kept features through the rest of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

import torch
from torch import fx, nn

from ft.caching import CacheCost
from ft.config import Config
from ft.data import ImageData, Item
from ft.devices import Machine
from ft.display import Display
from ft.extensions import Preprocessing
from ft.features import Features, get_features
from ft.images import ImageDataset, eval_transform, train_transform
from ft.loaders import epoch_batches, make_loader
from ft.plan import Plan
from ft.prefix.find import FrozenPrefix
from ft.proof import NotProved, prove
from ft.signals import StopRequest


class Feed(Protocol):
    """Inputs of every step, and what turns them into outputs. The network's modes are the caller's to set."""

    cost: CacheCost

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield (inputs, labels [N] on the CPU) of an epoch's steps after the first `skip`."""

    def forward(self, inputs: Any) -> Any:
        """The network's outputs in train mode for a batch's inputs."""

    def validation(self, stop: StopRequest) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (logits [N, C] in float32, labels [N]), both on the CPU, for the validation images in their order."""

    def close(self) -> None:
        """Let go of processes and memory."""


def open_feed(
    module: nn.Module,
    plan: Plan,
    prefix: FrozenPrefix | None,
    data: ImageData,
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest,
) -> Feed:
    """Return the feed that the plan chose, once it is proved on real images to be what was promised.

    Where the proof fails, the plain loop runs and a warning says why.
    """
    cost = CacheCost("off", plan.cache.reason)
    if prefix is not None:
        started = time.perf_counter()
        try:
            proved = prove(module, prefix, plan, data, preprocessing, config, machine)
        except NotProved as error:
            display.warn(f"the frozen prefix is computed in every epoch after all: {error}")
            cost = CacheCost("off", str(error))
        else:
            promise = plan.cache.promise
            assert promise != "off"
            features = get_features(proved, promise, data, preprocessing, config, machine, display, stop)
            seconds = time.perf_counter() - started
            display.features_ready(features.computed, seconds)
            cost = CacheCost(promise, plan.cache.reason, features.computed, seconds, proved.cut.ceiling)
            return FeatureFeed(features, cost, data, preprocessing, config, machine)
    return ImageFeed(module, cost, data, preprocessing, config, machine, display, stop)


class ImageFeed:
    """The plain loop: every image is decoded, augmented and computed anew in every epoch."""

    def __init__(
        self,
        module: nn.Module,
        cost: CacheCost,
        data: ImageData,
        preprocessing: Preprocessing,
        config: Config,
        machine: Machine,
        display: Display,
        stop: StopRequest,
    ) -> None:
        self.cost = cost
        self._module, self._data, self._preprocessing = module, data, preprocessing
        self._config, self._machine, self._display = config, machine, display
        transform = train_transform(preprocessing, config.images.augment)
        dataset = ImageDataset(data.train, transform, config.seed, config.images.views)
        self._loader = make_loader(
            dataset, config.training.batch_size, config.machine.workers, machine.device, shuffle=True, stop=stop
        )

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        for images, labels, _ in self._loader.epoch(epoch, skip):
            yield images, labels

    def forward(self, inputs: Any) -> Any:
        return self._module(self._machine.send(inputs))

    def validation(self, stop: StopRequest) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        items = self._data.val
        return predict_batches(
            self._module, items, self._preprocessing, self._config, self._machine, self._display, stop
        )

    def close(self) -> None:
        self._loader.close()


class FeatureFeed:
    """The frozen prefix's features, computed once, through the rest of the network."""

    def __init__(
        self,
        features: Features,
        cost: CacheCost,
        data: ImageData,
        preprocessing: Preprocessing,
        config: Config,
        machine: Machine,
    ) -> None:
        self.cost = cost
        self._features, self._config, self._machine = features, config, machine
        self._labels = torch.tensor([item.label for item in data.train])
        self._val_labels = torch.tensor([item.label for item in data.val])
        transform = train_transform(preprocessing, config.images.augment)
        self._images = ImageDataset(data.train, transform, config.seed, config.images.views)

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        n, view, size = len(self._labels), epoch % self._features.views, self._config.training.batch_size
        for batch in epoch_batches(n, size, self._config.seed, epoch, shuffle=True)[skip:]:
            rows = torch.tensor(batch)
            if len(batch) == size or self._features.any_size:
                yield tuple(tensor[view * n + rows] for tensor in self._features.train), self._labels[rows]
            else:
                yield self._compute(epoch, batch), self._labels[rows]

    def _compute(self, epoch: int, batch: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """The features of a short batch, where they are not bit for bit those of full ones."""
        images = torch.stack([self._images[epoch, index][0] for index in batch])
        with torch.inference_mode():
            features: tuple[torch.Tensor, ...] = self._features.halves.prefix(self._machine.send(images))
        return features

    @property
    def suffix_eval(self) -> fx.GraphModule:
        """What follows the cut in eval mode."""
        return self._features.suffix_eval

    def everything(self, head: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """What enters `head` for every training image and view, [views * N, D] in float32, and the labels."""
        entering: list[torch.Tensor] = []
        hook = head.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0].float()))
        try:
            with torch.inference_mode():
                self._features.suffix_eval(tuple(self._ready(tensor) for tensor in self._features.train))
        finally:
            hook.remove()
        labels = self._labels.repeat(self._features.views)
        return entering[0].clone(), labels.to(self._machine.device)

    def forward(self, inputs: Any) -> Any:
        return self._features.halves.suffix(tuple(self._ready(tensor) for tensor in inputs))

    def validation(self, stop: StopRequest) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        n, size = len(self._val_labels), self._config.training.batch_size
        for start in range(0, n, size):
            inputs = tuple(self._ready(tensor[start : start + size]) for tensor in self._features.val)
            with torch.inference_mode(), self._machine.autocast():
                logits = self._features.suffix_eval(inputs)
            yield logits.float().cpu(), self._val_labels[start : start + size]
            stop.check()

    def close(self) -> None:
        """Nothing runs beside the loop."""

    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device, in the type that the suffix computes in; a copy, since the suffix may write to it."""
        wanted = tensor.dtype
        if tensor.is_floating_point() and self._machine.precision == "fp32":
            wanted = torch.float32
        return tensor.to(self._machine.device, wanted, copy=True)


def predict_batches(
    module: nn.Module,
    items: Sequence[Item],
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (logits [N, C] in float32, labels [N]), both on the CPU, for `items` in their order; in eval mode."""
    module.eval()
    dataset = ImageDataset(items, eval_transform(preprocessing), config.seed)
    size, workers = config.training.batch_size, config.machine.workers
    loader = make_loader(dataset, size, workers, machine.device, shuffle=False, stop=stop)
    with closing(loader), display.progress("evaluating", len(loader)) as bar:
        for done, (images, labels, _) in enumerate(loader.epoch(0), start=1):
            with torch.inference_mode(), machine.autocast():
                logits = module(machine.send(images))
            yield logits.float().cpu(), labels
            bar.advance(done)
            if stop is not None:
                stop.check()
