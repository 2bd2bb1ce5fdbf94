"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch import nn

from ft.config.training import TrainingConfig
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.extension.tasks import Figure
from ft.job import Job
from ft.machine.layout import rate
from ft.machine.parts import is_of_parts
from ft.machine.signals import StopAsked
from ft.model.freezing import set_train_mode
from ft.plan.records import Plan
from ft.run.checkpoints import Checkpoint, moving_tensors
from ft.run.folder import Run
from ft.run.position import Position, best_epoch, phase_from
from ft.task.chosen import LOSS
from ft.task.evaluation import figures_of
from ft.task.tally import Tally
from ft.tracking.events import CheckpointSaved, EpochDone
from ft.training.average import Average, ema_share
from ft.training.early import ends_early, last_epoch
from ft.training.epoch_average import average_epochs, averages_epochs, forget_weights, keep_weights
from ft.training.feeds import Feed
from ft.training.joint import joint_steps
from ft.training.loss_scale import LossScale
from ft.training.optim import (
    check_state,
    forget_gradients,
    lr_factor,
    make_optimizer,
    optimizer_state,
    restore_optimizer,
    set_lr,
)
from ft.training.step import Learning, batches_of, learn, moving_buffers


def train(module: nn.Module, plan: Plan, feed: Feed, job: Job, run: Run) -> Position:
    """Train `module` as `plan` says, to the last epoch; the best one's weights are in best.pt.

    Every number that comes out is a function of (config, data): the order of images of (seed, epoch), augmentation of
    (seed, epoch, image), dropout of (seed, step). So a run that was stopped anywhere and resumed ends with the same
    weights as one that was not. Raises FtError when the loss or a weight stops being a number or memory runs out, and
    StopAsked, the state saved, when a signal asks to stop.
    """
    training, machine = job.config.training, job.machine
    task, space, processes = job.data.task, job.data.space, job.processes
    scale, loss_of = LossScale(machine), task.loss(space, targets_of(job.data.train).to(machine.device))
    saved = run.load_checkpoint("last", module) if run.has_checkpoint("last") else None
    position = Position(phases=[phase_from(job.config)]) if saved is None else saved.position
    if not processes.is_first:
        position.tally = 0.0  # what was counted is the first one's, and they are added up
    tally, begun = Tally(task.count(space)), position.begun(plan.steps_per_epoch)
    monitor = task.figure(training.monitor)
    set_train_mode(module, plan.frozen_modules)
    module.zero_grad(set_to_none=True)

    def state() -> Checkpoint:
        tensors = joint.whole(moving_tensors(module, plan.frozen, plan.frozen_modules))
        averages, kept = joint.whole(average.state() if average else {}), joint.whole(optimizer_state(optimizer))
        _check_weights({**tensors, **averages}, position, run)
        return Checkpoint(position, tensors, kept, plan.digest(), averages, scale.state())

    def save(name: str, reached: Checkpoint) -> None:
        path = run.save_checkpoint(name, reached)
        job.tell(CheckpointSaved(path, position.epoch, position.step))

    def save_epoch(also: str | None) -> None:
        reached = state()
        if averages_epochs(training):
            keep_weights(run, reached, plan, training, monitor)
        for name in ("last",) if also is None else (also, "last"):
            save(name, reached)

    def set_rate(step: int) -> None:
        first = plan.first_step
        level = (training.swa or 0) * plan.steps_per_epoch
        set_lr(optimizer, lr_factor(step - first, plan.warmup_steps, plan.total_steps - first, level))

    with joint_steps(module, feed, job) as joint:
        optimizer, average = _stepping(run, plan, module, job, (saved, scale))
        saved = None  # as large as what trains and its optimizer's state
        how = (plan.aux_loss_weight, training, machine, moving_buffers(module, plan.frozen_modules), scale)
        learning = Learning(module, joint, loss_of, *how, plan.image_size)
        try:
            over = position.epoch >= last_epoch(plan, job)
            while not over and not out_of_patience(position, training, monitor):
                set_train_mode(module, plan.frozen_modules)
                title, before = f"epoch {position.epoch + 1}/{plan.epochs}", position.epoch * plan.steps_per_epoch
                so_far = [each.val[monitor.name] for each in position.history if monitor.name in each.val]
                with job.display.progress(title, plan.total_steps, before + position.step, "steps", so_far) as bar:
                    started = time.perf_counter()
                    for batch in batches_of(feed, job, position.epoch, position.step, plan.steps_per_epoch):
                        step = before + position.step
                        processes.doing(f"epoch {position.epoch + 1}, step {position.step + 1}")
                        set_rate(step)
                        loss, answers, parts = learn(batch, position.parts, learning)
                        if parts > position.parts:
                            job.display.warn(_now_in_parts(batch.places.size, parts))
                            position.parts = parts
                        if not scale.is_on:
                            _check_finite(loss, "loss", position, run)
                        taken = _step(optimizer, module, scale, job, run)
                        if taken and average is not None and training.ema is not None:
                            average.add(ema_share(training.ema, step - begun))
                        now = time.perf_counter()
                        if math.isfinite(loss):  # else a step that was skipped, which says nothing of the weights
                            position.tally = tally.add(joint.counted(answers, batch.places), position.tally)
                            position.finish_step(loss, batch.places.size, now - started)
                        else:
                            position.finish_step(0.0, 0, now - started)
                        started = now
                        bar.advance(step + 1, f"loss {_mean_loss(position):.3f}", _pace(position))
                        joint.check_stop()
                (position.tally,) = processes.summed(tally.settle(position.tally))
                _check_finite(_mean_loss(position), "loss", position, run)
                if scale.skipped >= plan.steps_per_epoch:
                    job.display.warn(_none_taken(position))
                started = time.perf_counter()
                processes.doing(f"validation after epoch {position.epoch + 1}")
                module.eval()
                with average.in_place() if average else nullcontext():
                    val = figures_of(joint.validation(), task, space, processes)
                _check_finite(val["loss"], "validation loss", position, run)
                set_rate((position.epoch + 1) * plan.steps_per_epoch - 1)  # a run that stopped here had no step left
                seconds = time.perf_counter() - started
                record = position.finish_epoch(optimizer.param_groups[0]["lr"], val, seconds, task.record.tally_name)
                is_best = position.is_best(record, monitor)
                save_epoch("best" if is_best else "phase" if _is_best_of_phase(position, plan, monitor) else None)
                if averages_epochs(training):
                    forget_weights(run, position, plan, training, monitor)
                run.log(position)
                job.tell(EpochDone(record, plan.epochs, record.epoch * plan.steps_per_epoch, is_best, task.figures))
                over = position.epoch >= last_epoch(plan, job) or ends_early(position, plan, job, run)
        except StopAsked:
            (position.tally,) = processes.summed(tally.settle(position.tally))
            save("last", state())
            raise
        average_epochs(module, plan, joint, job, run, position)
    forget_weights(run, position, plan, training, monitor)
    return position


def _stepping(
    run: Run, plan: Plan, module: nn.Module, job: Job, begun: tuple[Checkpoint | None, LossScale]
) -> tuple[torch.optim.Optimizer, Average | None]:
    """What steps, and the average of its steps if there is one, as they were in the state that is begun from."""
    saved, scale = begun
    optimizer, average = make_optimizer(module, plan, job.optimizer), None
    if job.config.training.ema is not None:
        average = Average(module, moving_tensors(module, plan.frozen, plan.frozen_modules))
    if saved is not None:
        check_state(job.optimizer, module, saved.optimizer, run.path / "last.pt")
        restore_optimizer(optimizer, saved.optimizer)
        scale.restore(saved.scale)
        if average is not None:
            average.restore(saved.average, run.path / "last.pt")
    return optimizer, average


def _is_best_of_phase(position: Position, plan: Plan, monitor: Figure) -> bool:
    """Whether the last epoch is the best of its phase, which is not the run's first."""
    return plan.place.begins > 0 and best_epoch(position.in_phase, monitor) is position.history[-1]


def _step(optimizer: torch.optim.Optimizer, module: nn.Module, scale: LossScale, job: Job, run: Run) -> bool:
    """Step and let go of the gradients. Return whether the step was taken, and not skipped."""
    try:
        return scale.step(optimizer, module, job.config.training.clip_norm)
    except FtError as error:
        raise FtError(f"{error}; nothing of them was kept. {_what_next(run)}") from None
    except RuntimeError as error:
        if not is_of_parts(error):
            raise
        name = job.optimizer.component.name
        why = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise FtError(
            f"--optimizer {name} cannot step parameters that are divided among processes (torch says: {why}); "
            "leave out --shard, or use --optimizer adamw"
        ) from error
    finally:
        forget_gradients(optimizer)


def _mean_loss(position: Position) -> float:
    """The mean over the images so far of an epoch; no number where no step gave one."""
    return position.loss_sum / position.seen if position.seen else math.nan


def _pace(position: Position) -> str:
    return f"{rate(position.seen / position.seconds)} img/s" if position.seconds else ""


def out_of_patience(position: Position, training: TrainingConfig, monitor: Figure) -> bool:
    """Whether it is too long ago that the monitored figure or the loss was better than in all of the phase before."""
    history = position.in_phase
    if training.patience is None or not history:
        return False
    since = max(best_epoch(history, figure).epoch for figure in (monitor, LOSS))
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


def _none_taken(position: Position) -> str:
    return (
        f"no step of epoch {position.epoch + 1} was taken: in fp16 their gradients were not finite. The loss is "
        "multiplied by less from step to step; where epochs are few, --precision fp32 loses none"
    )


def _now_in_parts(images: int, parts: int) -> str:
    return (
        f"memory ran out: each step's {images} images are computed in {parts} parts from now on, and their gradients "
        f"added up; BatchNorm that is not frozen sees {images // parts} at a time"
    )
