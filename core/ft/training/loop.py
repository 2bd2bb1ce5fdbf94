"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributions import Beta
from torch.nn.functional import cross_entropy

from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.data.load import ImageData
from ft.errors import FtError
from ft.machine.devices import Machine
from ft.machine.memory import fit_in_memory
from ft.machine.randomness import drawing_from, step_seed
from ft.machine.signals import StopAsked
from ft.model.freezing import set_train_mode
from ft.plan.records import Plan
from ft.run.checkpoints import Checkpoint, EpochRecord, Position, moving_tensors, phase_from
from ft.run.context import Job
from ft.run.folder import Run
from ft.task.evaluation import figures_of
from ft.training.feeds import Feed
from ft.training.optim import forget_gradients, lr_factor, make_optimizer, optimizer_state, restore_optimizer, set_lr


@dataclass(frozen=True, eq=False)
class Criterion:
    """Cross-entropy of logits [N, C] and labels [N]: their mean, in which each image counts as its class weighs."""

    class_weights: torch.Tensor | None
    label_smoothing: float

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits, labels, self.class_weights, label_smoothing=self.label_smoothing)

    def weight(self, labels: torch.Tensor) -> float:
        """What images with these labels weigh together."""
        return len(labels) if self.class_weights is None else float(self.class_weights[labels].sum())


def train(module: nn.Module, plan: Plan, feed: Feed, job: Job, run: Run) -> Position:
    """Train `module` as `plan` says, to the last epoch; the best one's weights are in best.pt.

    Every number that comes out is a function of (config, data): the order of images of (seed, epoch), augmentation of
    (seed, epoch, image), dropout of (seed, step). So a run that was stopped anywhere and resumed ends with the same
    weights as one that was not. Raises FtError when the loss or a weight stops being a number or memory runs out, and
    StopAsked, the state saved, when a signal asks to stop.
    """
    training, machine = job.config.training, job.machine
    optimizer = make_optimizer(module, plan, training)
    criterion = make_criterion(training, job.data, machine)
    position = _resume(run, job.config, module, optimizer)
    moving = moving_buffers(module, plan.frozen_modules)
    module.zero_grad(set_to_none=True)

    def save(name: str) -> None:
        tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
        _check_weights(tensors, position, run)
        run.save_checkpoint(name, Checkpoint(position, tensors, optimizer_state(optimizer), plan.digest()))

    def set_rate(step: int) -> None:
        set_lr(optimizer, lr_factor(step, plan.warmup_steps, plan.total_steps))

    try:
        while position.epoch < plan.epochs and not _out_of_patience(position, training):
            set_train_mode(module, plan.frozen_modules)
            title, before = f"epoch {position.epoch + 1}/{plan.epochs}", position.epoch * plan.steps_per_epoch
            with job.display.progress(title, plan.total_steps, before + position.step) as bar:
                started = time.perf_counter()
                for inputs, labels in feed.batches(position.epoch, skip=position.step):
                    step = before + position.step
                    set_rate(step)
                    batch = Batch(inputs, labels.to(machine.device), step_seed(job.config.seed, step))
                    loss, hits, parts = learn(
                        batch, position.parts, module, plan, feed, criterion, training, machine, moving
                    )
                    if parts > position.parts:
                        job.display.warn(_now_in_parts(len(labels), parts))
                        position.parts = parts
                    if training.clip_norm is not None:
                        nn.utils.clip_grad_norm_(module.parameters(), training.clip_norm)
                    _check_finite(loss, "loss", position, run)
                    optimizer.step()
                    forget_gradients(optimizer)
                    now = time.perf_counter()
                    position.finish_step(loss, hits, len(labels), now - started)
                    started = now
                    bar.advance(step + 1, f"loss {position.loss_sum / position.seen:.3f}")
                    job.stop.check()
            started = time.perf_counter()
            module.eval()
            val = figures_of(feed.validation(job.stop), len(job.data.classes))
            _check_finite(val.loss, "validation loss", position, run)
            set_rate((position.epoch + 1) * plan.steps_per_epoch - 1)  # a run that stopped here had no step left
            record = position.finish_epoch(optimizer.param_groups[0]["lr"], val, time.perf_counter() - started)
            is_best = best_epoch(position.history, training.monitor) is record
            if is_best:
                save("best")
            save("last")
            run.log(position.history)
            job.display.epoch(record, plan.epochs, is_best)
    except StopAsked:
        save("last")
        raise
    return position


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's inputs (a tensor, or one for each that crosses the cut), labels [N], and seed of random numbers."""

    inputs: Any
    labels: torch.Tensor
    seed: int

    def split(self, parts: int) -> Iterator[tuple[Any, torch.Tensor]]:
        """Yield (inputs, labels) of as many parts, of two images or more: BatchNorm cannot train on one.

        In a part as in the batch, images are blended with those of the opposite place, so these stay together.
        """
        number, parts = len(self.labels), min(parts, self.most_parts)
        if parts == 1:
            yield self.inputs, self.labels
            return
        half = number // 2
        middle = torch.arange(half, number - half)
        for part, front in enumerate(torch.arange(half).tensor_split(parts), start=1):
            rows = torch.cat([front, middle if part == parts else middle[:0], number - 1 - front.flip(0)])
            inputs = tuple(each[rows] for each in self.inputs) if isinstance(self.inputs, tuple) else self.inputs[rows]
            yield inputs, self.labels[rows]

    @property
    def most_parts(self) -> int:
        return max(1, len(self.labels) // 2)


def learn(
    batch: Batch,
    parts: int,
    module: nn.Module,
    plan: Plan,
    feed: Feed,
    criterion: Criterion,
    training: TrainingConfig,
    machine: Machine,
    moving: Sequence[tuple[nn.Module, str]],
) -> tuple[float, int, int]:
    """Leave a batch's gradients in `module`, which has none, and whose buffers `moving` a step may change; return its
    loss, how many answers are right, and the number of parts.

    The batch is computed in `parts`, and in twice as many when memory runs out. The gradients of the parts add up to
    the batch's, but BatchNorm that trains sees one part at a time. With mixup (Zhang et al. 2018, section 2) one share
    is drawn for the step, and a right answer is one that names the image with that share. Raises FtError, with the
    size that fits, when memory runs out and the config does not allow parts.
    """
    before = [(layer, name, layer.get_buffer(name).clone()) for layer, name in moving] if training.auto_batch else []

    @drawing_from(batch.seed, machine.device)  # anew in each attempt
    def attempt(now: int) -> tuple[float, int]:
        if now > parts:  # an attempt that failed left gradients, and moved the statistics
            module.zero_grad(set_to_none=True)
            for layer, name, value in before:
                layer.get_buffer(name).copy_(value)
        share = float(Beta(training.mixup, training.mixup).sample()) if training.mixup else 1.0
        total, hits = 0.0, 0
        for inputs, labels in batch.split(now):
            with machine.autocast():
                outputs = feed.forward(inputs, share)
            loss, logits = total_loss(outputs, labels, criterion, plan.aux_loss_weight)
            if share < 1.0:
                blended, _ = total_loss(outputs, labels.flip(0), criterion, plan.aux_loss_weight)
                loss = share * loss + (1 - share) * blended
            if now > 1:
                loss = loss * (criterion.weight(labels) / criterion.weight(batch.labels))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            hits += int((logits.argmax(1) == labels).sum())
        return total, hits

    (loss, hits), needed = fit_in_memory(attempt, parts, max(parts, batch.most_parts))
    if needed > parts and not training.auto_batch:
        size = len(batch.labels) // needed
        raise FtError(
            f"memory runs out in a step of {len(batch.labels)} images; {size} fit: use --batch-size {size}, or "
            f"--auto-batch, which keeps steps of {training.batch_size} and computes them in parts"
        )
    return loss, hits, needed


def moving_buffers(module: nn.Module, frozen_modules: Collection[str]) -> list[tuple[nn.Module, str]]:
    """The buffers of layers outside `frozen_modules`: each one's layer, and its name there."""
    still = tuple(f"{path}." for path in frozen_modules)
    return [
        (layer, name)
        for path, layer in module.named_modules()
        if not f"{path}.".startswith(still)
        for name, _ in layer.named_buffers(recurse=False)
    ]


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
    """The epoch with the best validation figure; of equals that with the lowest loss, which has learnt the most."""
    return max(history, key=lambda record: record.val.merit(monitor))


def make_criterion(training: TrainingConfig, data: ImageData, machine: Machine) -> Criterion:
    weights = None
    if training.class_weights == "balanced":  # as King & Zeng 2001: inversely to how often a class occurs
        counts = torch.bincount(torch.tensor([item.label for item in data.train]), minlength=len(data.classes))
        weights = (len(data.train) / (len(data.classes) * counts.clamp(min=1))).to(machine.device, torch.float32)
    return Criterion(weights, training.label_smoothing)


def _resume(run: Run, config: Config, module: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
    if not run.has_checkpoint("last"):
        return Position(phases=[phase_from(config)])
    checkpoint = run.load_checkpoint("last", module)
    restore_optimizer(optimizer, checkpoint.optimizer)
    return checkpoint.position


def _out_of_patience(position: Position, training: TrainingConfig) -> bool:
    """Whether it is too long ago that the monitored figure or the loss was better than in all of the phase before."""
    history = position.history[position.phases[-1].epoch :]
    if training.patience is None or not history:
        return False
    since = max(best_epoch(history, monitor).epoch for monitor in (training.monitor, "loss"))
    return position.epoch - since >= training.patience


def _check_finite(value: float, what: str, position: Position, run: Run) -> None:
    if not math.isfinite(value):
        raise FtError(
            f"the {what} became {value} in epoch {position.epoch + 1}, step {position.step + 1}; nothing of that step "
            f"was kept. {_what_next(run)}"
        )


def _check_weights(tensors: Mapping[str, torch.Tensor], position: Position, run: Run) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            where = (
                f"step {position.step} of epoch {position.epoch + 1}" if position.step else f"epoch {position.epoch}"
            )
            raise FtError(f"'{name}' is no longer finite after {where}, and was not saved. {_what_next(run)}")


def _what_next(run: Run) -> str:
    kept = f" The last whole epoch is in {run.path}" if run.has_checkpoint("last") else ""
    return f"Try a lower --lr, --clip-norm 1, or --precision fp32.{kept}"


def _now_in_parts(images: int, parts: int) -> str:
    return (
        f"memory ran out: each step's {images} images are computed in {parts} parts from now on, and their gradients "
        f"added up; BatchNorm that is not frozen sees {images // parts} at a time"
    )
