"""The running statistics of BatchNorm, measured anew for weights that no step came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ft.job import Job
from ft.machine.randomness import drawing_from, step_seed
from ft.model.freezing import set_train_mode
from ft.plan.records import Plan
from ft.training.joint import Joint
from ft.training.step import batches_of


def recount_statistics(module: nn.Module, plan: Plan, joint: Joint, job: Job, epoch: int) -> None:
    """Measure the running statistics of BatchNorm that moves over the training images as they come in an `epoch`: those
    of averaged weights are not the averages of theirs (Izmailov et al. 2018, section 3.2).

    Each batch counts alike, as in torch.optim.swa_utils.update_bn. Nothing runs where no BatchNorm moves.
    """
    set_train_mode(module, plan.frozen_modules)
    layers = [each for each in module.modules() if isinstance(each, _BatchNorm) and _follows_images(each)]
    if not layers:
        return
    with counted_anew(layers):
        for number, batch in enumerate(batches_of(joint.feed, job, epoch, 0, plan.steps_per_epoch)):
            seed, drawing = step_seed(job.config.seed, plan.total_steps + number), joint.drawing(batch.places)
            with drawing_from(seed, job.machine.device), drawing, torch.no_grad(), job.machine.autocast():
                joint.feed.forward(batch.inputs)
            job.stop.check()


@contextmanager
def counted_anew(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """A block whose batches, each counting alike, the running statistics of these layers are measured from."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def _follows_images(layer: _BatchNorm) -> bool:
    return layer.training and layer.running_mean is not None
