"""What the training loop is fed with where the frozen prefix was computed once: kept features."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import fx

from ft.cache.features import Features
from ft.cache.proof import Proved
from ft.data.dataset import ImageDataset
from ft.data.order import epoch_batches, full_batch, places_of, spans
from ft.data.targets import targets_of
from ft.data.transforms import network_input, train_transform
from ft.job import Job
from ft.plan.records import CacheCost
from ft.prefix.linear import before_head
from ft.prefix.torch_only import torch_only
from ft.training.blending import ITSELF, Blend


class FeatureFeed:
    """The frozen prefix's features, computed once, through the rest of the network."""

    def __init__(self, proved: Proved, features: Features, cost: CacheCost, idle: frozenset[str], job: Job) -> None:
        self.cost, self.idle, self.torch_only = cost, idle, torch_only(proved.halves.suffix)
        self._proved, self._features, self._job, self._machine = proved, features, job, job.machine
        self._views = job.config.images.replayed or 1
        self._targets = targets_of(job.data.train)
        self._val_targets = targets_of(job.data.val)
        self._shuffle = job.data.shuffle
        images, size = job.config.images, job.config.training.batch_size
        self._full, self._share = full_batch(len(job.data.train), size), job.stepping.share
        self._val_spans = spans(len(job.data.val), size)
        self.graphs = (proved.halves.suffix, proved.suffix_eval)
        self.prefixes = (proved.halves.prefix,)
        self._images = ImageDataset(
            job.data.train,
            train_transform(job.preprocessing, job.augmentation),
            job.config.seed,
            images.replayed,
            job.data.digests,
        )

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Any, torch.Tensor]]:
        n, asked = len(self._targets), self._job.config.training.batch_size
        first, pixels = epoch % self._views * n, self._features.pixels
        batches = epoch_batches(n, asked, self._job.config.seed, epoch, self._shuffle)[skip:]
        sizes = [len(batch) for batch in batches]
        if self._share.world > 1:
            batches = [[batch[place] for place in places_of(len(batch), self._share).own] for batch in batches]
        order = torch.tensor([index for batch in batches for index in batch])
        rows_of_batches = torch.split(order, [len(batch) for batch in batches])
        for size, batch, rows in zip(sizes, batches, rows_of_batches, strict=True):
            if size == self._full or self._proved.any_size:
                yield self._features.train.take(rows + first if first else rows), self._targets.index_select(0, rows)
            elif pixels is not None:
                yield self._compute(*pixels.take(first + rows)), self._targets[rows]
            else:
                decoded = [self._images[epoch, index][0] for index in batch]
                yield self._compute(torch.stack(decoded)), self._targets[rows]

    def _compute(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The features of a short batch, where they are not bit for bit those of full ones."""
        with torch.no_grad(), self._machine.autocast():
            images = network_input(pixels, self._job.preprocessing, self._machine)
            features: tuple[torch.Tensor, ...] = self._proved.halves.prefix(images)
        return features

    @property
    def suffix_eval(self) -> fx.GraphModule:
        """What follows the cut in eval mode."""
        return self._proved.suffix_eval

    def everything(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What enters the head, which is the linear one that is left to train, for every training image and view,
        [views * N, D] in float32, and the targets. Raises StopAsked when a signal asks to stop meanwhile."""
        targets = torch.cat([self._targets] * self._views)
        return torch.cat(list(self.training_reads(self._before_head))), targets.to(self._machine.device)

    def training_reads(self, before: fx.GraphModule) -> Iterator[torch.Tensor]:
        """Yield what a part of `suffix_eval` returns of every training image and view, in float32, batch by batch.
        Raises StopAsked when a signal asks to stop meanwhile."""
        for start, end in spans(len(self._targets) * self._views, self._job.config.training.batch_size):
            yield self._part(before, self._features.train.take(torch.arange(start, end))).float()
            self._job.stop.check()

    def validation_reads(self, before: fx.GraphModule) -> Iterator[torch.Tensor]:
        """Yield the same of every validation image."""
        for inputs, _ in self.validation_inputs(every=True):
            yield self._part(before, inputs).float()

    def _part(self, before: fx.GraphModule, inputs: Any) -> torch.Tensor:
        with torch.no_grad(), self._machine.autocast():
            found: torch.Tensor = before.forward(tuple(map(self._ready, inputs)))
        return found

    def entering(self, inputs: Any) -> torch.Tensor:
        """What enters the head, which is the linear one that is left to train, for a batch's inputs: [N, D]."""
        return self._part(self._before_head, inputs)

    @cached_property
    def _before_head(self) -> fx.GraphModule:
        return before_head(self._proved.suffix_eval)

    def forward(self, inputs: Any, blend: Blend = ITSELF) -> Any:
        # Not called: what torch.fx puts around a call explains errors in graphs, and takes time in every step.
        return self._proved.halves.suffix.forward(tuple(blend.of(self._ready(each)) for each in inputs))

    def validation(self, every: bool = False) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for inputs, targets in self.validation_inputs(every):
            with torch.no_grad(), self._machine.autocast():
                outputs = self._proved.suffix_eval.forward(tuple(map(self._ready, inputs)))
            yield outputs.float().cpu(), targets

    def validation_inputs(self, every: bool = False) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield (inputs, targets [N, ...] on the CPU) for the validation images in their order: for this process's
        share of their batches, or for `every` one. Raises StopAsked when a
        signal asks to stop meanwhile."""
        for start, end in self._val_spans if every else self._share.of(self._val_spans):
            yield self._features.val.take(torch.arange(start, end)), self._val_targets[start:end]
            self._job.stop.check()

    def close(self) -> None:
        """Nothing runs beside the loop."""

    def _ready(self, tensor: torch.Tensor) -> torch.Tensor:
        """Rows on the device, in the type that the suffix computes in; where it writes to them, it makes a copy."""
        other = tensor.dtype == torch.bfloat16 and self._machine.precision != "bf16"
        return tensor.to(self._machine.device, torch.float32 if other else tensor.dtype)
