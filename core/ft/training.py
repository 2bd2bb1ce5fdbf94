"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ft.checkpoints import Checkpoint, EpochRecord, Position, moving_tensors
from ft.config import Config, TrainingConfig
from ft.data import ImageData
from ft.devices import Machine
from ft.display import Display
from ft.errors import FtError
from ft.evaluation import evaluate
from ft.feeds import Feed
from ft.freezing import set_train_mode
from ft.optim import lr_factor, make_optimizer, optimizer_state, restore_optimizer, set_lr
from ft.plan import Plan
from ft.runs import Run
from ft.signals import StopAsked, StopRequest

Criterion = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def train(
    module: nn.Module,
    plan: Plan,
    feed: Feed,
    data: ImageData,
    config: Config,
    machine: Machine,
    run: Run,
    display: Display,
    stop: StopRequest,
) -> Sequence[EpochRecord]:
    """Train `module` as `plan` says, and leave the best epoch's weights in it.

    Every number that comes out is a function of (config, data): the order of images of (seed, epoch), augmentation of
    (seed, epoch, image), dropout of (seed, step). So a run that was stopped anywhere and resumed ends with the same
    weights as one that was not. Raises FtError when the loss stops being a number, and StopAsked, the state saved,
    when a signal asks to stop.
    """
    training = config.training
    optimizer = make_optimizer(module, plan, training)
    criterion = make_criterion(training, data, machine)
    position = _resume(run, plan, module, optimizer)

    def save(name: str) -> None:
        tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
        run.save_checkpoint(name, Checkpoint(position, tensors, optimizer_state(optimizer), plan.digest()))

    try:
        while position.epoch < plan.epochs and not _out_of_patience(position.history, training):
            set_train_mode(module, plan.frozen_modules)
            with display.progress(f"epoch {position.epoch + 1}/{plan.epochs}", plan.total_steps) as bar:
                started = time.perf_counter()
                for inputs, labels in feed.batches(position.epoch, skip=position.step):
                    step = position.epoch * plan.steps_per_epoch + position.step
                    torch.manual_seed(step_seed(config.seed, step))
                    set_lr(optimizer, lr_factor(step, plan.warmup_steps, plan.total_steps))
                    labels = labels.to(machine.device)
                    with machine.autocast():
                        outputs = feed.forward(inputs)
                    loss, logits = total_loss(outputs, labels, criterion, plan.aux_loss_weight)
                    loss.backward()  # type: ignore[no-untyped-call]
                    if training.clip_norm is not None:
                        nn.utils.clip_grad_norm_(module.parameters(), training.clip_norm)
                    _check_finite(loss.item(), position, run)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    hits = int((logits.argmax(1) == labels).sum())
                    now = time.perf_counter()
                    position.finish_step(loss.item(), hits, len(labels), now - started)
                    started = now
                    bar.advance(step + 1, f"loss {position.loss_sum / position.seen:.3f}")
                    stop.check()
            started = time.perf_counter()
            module.eval()
            val = evaluate(feed.validation(stop), data.classes)
            record = position.finish_epoch(optimizer.param_groups[0]["lr"], val, time.perf_counter() - started)
            is_best = best_epoch(position.history, training.monitor) is record
            if is_best:
                save("best")
            save("last")
            run.log(position.history)
            display.epoch(record, plan.epochs, is_best)
    except StopAsked:
        save("last")
        raise
    run.load_checkpoint("best", module)
    return position.history


def total_loss(
    outputs: Any, labels: torch.Tensor, criterion: Criterion, aux_weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The classifier's loss plus `aux_weight` times each auxiliary classifier's, and the classifier's logits [N, C].

    Auxiliary classifiers answer in train mode only: Szegedy et al. 2015, section 5 (GoogLeNet, 0.3) and 2016,
    section 4 (Inception v3, 0.4).
    """
    logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = criterion(logits.float(), labels)
    for each in auxiliary:
        loss = loss + aux_weight * criterion(each.float(), labels)
    return loss, logits


def best_epoch(history: Sequence[EpochRecord], monitor: str) -> EpochRecord:
    """The epoch with the best validation figure, the earliest of equals."""
    return max(history, key=lambda record: record.val.figure(monitor))


def step_seed(seed: int, step: int) -> int:
    """Seed of the random numbers (dropout, stochastic depth) that one step draws."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


def make_criterion(training: TrainingConfig, data: ImageData, machine: Machine) -> Criterion:
    weights = None
    if training.class_weights == "balanced":  # as King & Zeng 2001: inversely to how often a class occurs
        counts = torch.bincount(torch.tensor([item.label for item in data.train]), minlength=len(data.classes))
        weights = (len(data.train) / (len(data.classes) * counts.clamp(min=1))).to(machine.device, torch.float32)
    return lambda logits, labels: cross_entropy(logits, labels, weights, label_smoothing=training.label_smoothing)


def _resume(run: Run, plan: Plan, module: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    if not run.has_checkpoint("last"):
        return Position()
    checkpoint = run.load_checkpoint("last", module)
    if checkpoint.plan_digest != plan.digest():
        raise FtError(f"{run.path} cannot go on as it began: {run.what_changed(plan)}; undo that, or start a new run")
    restore_optimizer(optimizer, checkpoint.optimizer)
    return checkpoint.position


def _out_of_patience(history: Sequence[EpochRecord], training: TrainingConfig) -> bool:
    if training.patience is None or not history:
        return False
    return history[-1].epoch - best_epoch(history, training.monitor).epoch >= training.patience


def _check_finite(loss: float, position: Position, run: Run) -> None:
    if not math.isfinite(loss):
        raise FtError(
            f"the loss became {loss} in epoch {position.epoch + 1}, step {position.step + 1}; nothing of that step was "
            f"kept. Try a lower --lr, --clip-norm 1, or --precision fp32. The last whole epoch is in {run.path}"
        )
