"""One step: a batch of images becomes gradients."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ft.config.training import TrainingConfig
from ft.data.order import Places, epoch_batches, places_of
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.extension.tasks import Loss
from ft.job import Job
from ft.machine.devices import Machine
from ft.machine.distributed import ALONE
from ft.machine.randomness import drawing_from, step_seed
from ft.task.evaluation import Answered
from ft.task.total_loss import total_loss
from ft.training.blending import draw_blend
from ft.training.feeds import Feed
from ft.training.joint import Joint
from ft.training.loss_scale import LossScale


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's inputs (a tensor, or one for each that crosses the cut), targets [N, ...], and seed of random
    numbers; of several processes, for the images at the `places` of this one, and the targets of all of the batch in
    `whole`."""

    inputs: Any
    targets: torch.Tensor
    seed: int
    places: Places
    whole: torch.Tensor

    def split(self, parts: int) -> Iterator[tuple[Any, torch.Tensor, Places]]:
        """Yield (inputs, targets, places) of as many parts, of two images or more: BatchNorm cannot train on one.

        In a part as in the batch, images are blended with those of the opposite place, so these stay together.
        """
        number, parts = len(self.targets), min(parts, self.most_parts)
        if parts == 1:
            yield self.inputs, self.targets, self.places
            return
        half = number // 2
        middle = torch.arange(half, number - half)
        for part, front in enumerate(torch.arange(half).tensor_split(parts), start=1):
            rows = torch.cat([front, middle if part == parts else middle[:0], number - 1 - front.flip(0)])
            inputs = tuple(each[rows] for each in self.inputs) if isinstance(self.inputs, tuple) else self.inputs[rows]
            yield inputs, self.targets[rows], replace(self.places, own=[self.places.own[row] for row in rows])

    @classmethod
    def of_one_process(cls, inputs: Any, targets: torch.Tensor, seed: int) -> Batch:
        """A batch that one process computes."""
        return cls(inputs, targets, seed, places_of(len(targets), ALONE.share), targets)

    @property
    def most_parts(self) -> int:
        return max(1, self.places.fewest // 2)  # the same in every process


def batches_of(feed: Feed, job: Job, epoch: int, skip: int, steps: int) -> Iterator[Batch]:
    """Yield the batches of an epoch after the first `skip`, of `steps` each epoch, as far as this process computes
    them."""
    share, device = job.stepping.share, job.machine.device
    every, whole = targets_of(job.data.train), list[list[int]]()
    if share.world > 1:
        size, seed = job.config.training.batch_size, job.config.seed
        whole = epoch_batches(len(every), size, seed, epoch, job.data.shuffle)
    for number, (inputs, targets) in enumerate(feed.batches(epoch, skip), start=skip):
        seed, targets = step_seed(job.config.seed, epoch * steps + number), targets.to(device)
        if share.world == 1:
            yield Batch.of_one_process(inputs, targets, seed)
        else:
            indices = whole[number]
            yield Batch(inputs, targets, seed, places_of(len(indices), share), every[indices].to(device))


@dataclass(frozen=True, eq=False)
class Learning:
    """What all steps of a run have in common. `moving` are the buffers of `module` that a step may change."""

    module: nn.Module
    joint: Joint
    loss: Loss
    aux_loss_weight: float
    training: TrainingConfig
    machine: Machine
    moving: Sequence[tuple[nn.Module, str]]
    scale: LossScale
    side: int = 1
    """Pixels of a side of the images."""


def learn(batch: Batch, parts: int, learning: Learning) -> tuple[float, list[Answered], int]:
    """Leave a batch's gradients, times the scale of the loss, in the module, which has none; return its loss, what was
    answered in each part, and the number of parts. Of several processes, each returns the loss of the whole batch and
    what was answered for its own images.

    The batch is computed in `parts`, and in twice as many when memory runs out. The gradients of the parts add up to
    the batch's, but BatchNorm that trains sees one part at a time. With mixup and its like one
    blend is drawn for the step, and what is answered counts as an answer to the image's own label. Raises FtError, with
    the size that fits, when memory runs out and the config does not allow parts.
    """
    module, joint, loss_of, training = learning.module, learning.joint, learning.loss, learning.training
    machine, aux = learning.machine, learning.aux_loss_weight
    moving = learning.moving if training.auto_batch or learning.scale.is_on else ()
    torch_only = joint.feed.torch_only and getattr(loss_of, "torch_only", False)
    before = [(layer, name, layer.get_buffer(name).clone()) for layer, name in moving]

    def restore() -> None:
        for layer, name, value in before:
            layer.get_buffer(name).copy_(value)

    def attempt(now: int) -> tuple[float, list[Answered]]:
        if now > parts:  # an attempt that failed left gradients, and moved the statistics
            module.zero_grad(set_to_none=True)
            restore()
        total, answers = 0.0, list[Answered]()
        with drawing_from(batch.seed, machine.device, torch_only):  # anew in each attempt
            blend = draw_blend(training, learning.side)
            for inputs, targets, places in batch.split(now):
                with machine.autocast(), joint.drawing(places):
                    outputs = joint.forward(inputs, blend)
                loss, answered = total_loss(outputs, targets, loss_of, aux)
                if blend.share < 1.0:
                    other, _ = total_loss(outputs, targets.flip(0), loss_of, aux)
                    loss = blend.share * loss + (1 - blend.share) * other
                if now > 1 or not joint.alone:
                    loss = loss * joint.share_of(loss_of.weight(targets), loss_of.weight(batch.whole), places)
                learning.scale.backward(loss if joint.scale == 1 else loss * joint.scale)
                total += loss.item()
                answers.append((answered.detach(), targets))
        return total, answers

    most = max(parts, batch.most_parts)
    with joint.rehearsing(batch.places) as rehearses:
        if rehearses:
            _, parts_now = joint.fit_in_memory(attempt, parts, most)
            module.zero_grad(set_to_none=True)
            restore()
        else:
            parts_now = parts
    (loss, answers), needed = joint.fit_in_memory(attempt, parts_now, most)
    if needed > parts and not training.auto_batch:
        size = len(batch.targets) // needed
        raise FtError(
            f"memory runs out in a step of {len(batch.targets)} images; {size} fit: use --batch-size {size}, or "
            f"--auto-batch, which keeps steps of {training.batch_size} and computes them in parts"
        )
    loss = joint.summed(loss)
    if learning.scale.is_on and not math.isfinite(loss):
        restore()  # a step that is skipped leaves nothing
    return loss, answers, needed


def moving_buffers(module: nn.Module, frozen_modules: Collection[str]) -> list[tuple[nn.Module, str]]:
    """The buffers of layers outside `frozen_modules`: each one's layer, and its name there."""
    still = tuple(f"{path}." for path in frozen_modules)
    return [
        (layer, name)
        for path, layer in module.named_modules()
        if not f"{path}.".startswith(still)
        for name, _ in layer.named_buffers(recurse=False)
    ]
