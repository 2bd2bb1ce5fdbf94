"""Training for a few steps while the learning rate rises, to see at which rates the loss falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

import torch
from torch import nn

from ft.data.targets import targets_of
from ft.job import Job
from ft.model.freezing import set_train_mode
from ft.plan.records import Plan
from ft.training.feeds import Feed
from ft.training.joint import Joint
from ft.training.loss_scale import LossScale
from ft.training.optim import forget_gradients, make_optimizer, set_lr
from ft.training.step import Batch, Learning, batches_of, learn, moving_buffers

SMALLEST, LARGEST = 1e-7, 10.0
"""Between which learning rates the largest one of all param groups rises (as fastai has it)."""
MOST_STEPS, FEWEST_STEPS = 100, 40
EPOCHS = 3
"""Passes over the images, where these are fewer than the most steps."""
SETTLED = 10
"""Steps before it is asked whether training has gone to pieces."""


def steps_of(steps_per_epoch: int) -> int:
    """How many steps are taken: as few as make a curve, where data are few, so that images are seen a few times only.

    >>> steps_of(4), steps_of(20), steps_of(1000)
    (40, 60, 100)
    """
    return min(MOST_STEPS, max(FEWEST_STEPS, EPOCHS * steps_per_epoch))


def train_at_rising_rates(module: nn.Module, plan: Plan, feed: Feed, job: Job) -> tuple[list[float], list[float]]:
    """Train `module`, whose weights are then of no more use, and return by what the plan's learning rates were
    multiplied at each step, and the loss before it.

    Factors grow exponentially from step to step, all rates keeping their ratios. Batches are those of the run's first
    epochs. It ends early where the loss is no number, or has risen above the first ones by four times as much as it
    fell below them.
    """
    training, machine = job.config.training, job.machine
    optimizer = make_optimizer(module, plan, job.optimizer)
    targets = targets_of(job.data.train).to(machine.device)
    loss_of = job.data.task.loss(job.data.space, targets)
    moving = moving_buffers(module, plan.frozen_modules)
    scale = LossScale(machine)
    joint = Joint(module, feed, job, [])
    how = (plan.aux_loss_weight, training, machine, moving, scale, plan.image_size)
    learning = Learning(module, joint, loss_of, *how)
    module.zero_grad(set_to_none=True)
    set_train_mode(module, plan.frozen_modules)
    steps, peak = steps_of(plan.steps_per_epoch), max(group.lr for group in plan.groups)
    factors, losses, parts = list[float](), list[float](), 1
    with job.display.progress("rising rates", steps, unit="steps") as bar:
        for step, batch in zip(range(steps), _batches(feed, job, plan.steps_per_epoch), strict=False):
            factor = SMALLEST / peak * (LARGEST / SMALLEST) ** (step / (steps - 1))
            set_lr(optimizer, factor)
            loss, _, parts = learn(batch, parts, learning)
            if not math.isfinite(loss):
                break
            factors.append(factor)
            losses.append(loss)
            if gone_to_pieces(losses):
                break
            scale.step(optimizer, module, training.clip_norm)
            forget_gradients(optimizer)
            bar.advance(step + 1, f"loss {loss:.3f}")
            job.stop.check()
    return factors, losses


def gone_to_pieces(losses: list[float]) -> bool:
    """Whether the last three losses lie above the first ones by four times as much as any three lay below them.

    >>> gone_to_pieces([1.0] * 10 + [0.5] * 3 + [2.9] * 3), gone_to_pieces([1.0] * 10 + [0.5] * 3 + [3.1] * 3)
    (False, True)
    """
    if len(losses) < SETTLED + 3:
        return False
    seen = torch.tensor(losses, dtype=torch.float64)
    first, means = seen[:SETTLED].mean(), seen.unfold(0, 3, 1).mean(1)
    reach = max(float(first - means.min()), float(seen[:SETTLED].std()))
    return float(means[-1] - first) > 4 * reach


def _batches(feed: Feed, job: Job, steps: int) -> Iterator[Batch]:
    for epoch in count():
        yield from batches_of(feed, job, epoch, 0, steps)
