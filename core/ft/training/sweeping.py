"""Many linear heads trained at once on kept features, each with a learning rate, a weight decay and first values of its
own, of which the best on validation images stays: the sweep by which backbones are evaluated (Oquab et al. 2024,
"DINOv2", appendix B.3; Siméoni et al. 2025, "DINOv3").

All heads meet the same batches, in the order of the training loop's. What a batch costs beside the products themselves
is paid once for all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ft.data.targets import targets_of
from ft.errors import FtError
from ft.extension.tasks import Figure
from ft.job import Job
from ft.machine.layout import rate
from ft.machine.randomness import drawing_from, step_seed
from ft.plan.records import Plan
from ft.run.checkpoints import Checkpoint, moving_tensors
from ft.run.folder import Run
from ft.run.position import Position, Tried, best_epoch, merit, phase_from
from ft.text.counting import number_of
from ft.tracking.events import CheckpointSaved, EpochDone
from ft.training.early import ends_early, last_epoch
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import Feed
from ft.training.heads import Heads
from ft.training.heads_measured import HeadTally, figures_of_heads
from ft.training.loop import out_of_patience
from ft.training.optim import (
    forget_gradients,
    lr_factor,
    mark_groups,
    optimizer_state,
    restore_optimizer,
    set_lr,
)
from ft.training.solving import kept_features

HEADS = "heads"
"""What the values of all heads are called in a checkpoint, beside what the optimizer keeps of them."""


def sweep(module: nn.Module, plan: Plan, feed: Feed, job: Job, run: Run) -> Position:
    """Train a head for each of the plan's candidates, side by side; the best one, after its best epoch, is in best.pt.

    After each epoch every head is measured on validation images, and the epoch's figures are those of the best one by
    the monitored figure. A head that gives no numbers any more is out, and harms no other. A run that is stopped within
    an epoch resumes at the end of the one before, and ends with the same weights. Raises FtError when there are no kept
    features or no head gives numbers, and StopAsked when a signal asks to stop.
    """
    head, features = kept_features(module, feed, plan)
    training, task = job.config.training, job.data.task
    monitor, candidates = task.figure(training.monitor), plan.optimizer.candidates
    module.eval()
    position, state = _begun(run, module, job)
    digest = plan.digest()
    side_by_side = _SideBySide(module, head, features, plan, job)
    if position.epoch > plan.place.begins:
        side_by_side.restore(state, run)
    else:
        position.tried = [Tried(each) for each in candidates]

    def save(name: str) -> None:
        tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
        path = run.save_checkpoint(name, Checkpoint(position, tensors, side_by_side.state(), digest))
        job.tell(CheckpointSaved(path, position.epoch, position.step))

    if position.epoch == 0:
        save("last")
    over = position.epoch >= last_epoch(plan, job)
    while not over and not out_of_patience(position, training, monitor):
        started = time.perf_counter()
        tally, factor = side_by_side.epoch(position)
        position.seen, position.seconds = tally.seen, time.perf_counter() - started
        started = time.perf_counter()
        val = figures_of_heads(side_by_side.heads, features, task, job)
        best = _best(val, tally, monitor, position, plan)
        position.loss_sum, position.tally = tally.sums(best)
        side_by_side.heads.put(best, head)
        position.tried = [
            _better(before, Tried(before.candidate, position.epoch + 1, now), monitor)
            for before, now in zip(position.tried, val, strict=True)
        ]
        seconds, chosen = time.perf_counter() - started, candidates[best]
        record = position.finish_epoch(chosen.lr * factor, val[best], seconds, task.record.tally_name, chosen)
        is_best = position.is_best(record, monitor)
        if is_best:
            save("best")
        elif plan.place.begins and best_epoch(position.in_phase, monitor) is record:
            save("phase")
        save("last")
        run.log(position)
        job.tell(EpochDone(record, plan.epochs, record.epoch * plan.steps_per_epoch, is_best, task.figures))
        job.stop.check()
        over = position.epoch >= last_epoch(plan, job) or ends_early(position, plan, job, run)
    return position


class _SideBySide:
    """The heads and what steps them."""

    def __init__(self, module: nn.Module, head: nn.Linear, feed: FeatureFeed, plan: Plan, job: Job) -> None:
        self.heads = Heads(head, plan.optimizer.candidates, job.config.seed)
        self._feed, self._plan, self._job = feed, plan, job
        self._targets = targets_of(job.data.train).to(job.machine.device)
        self._optimizer = job.optimizer.build(self.heads.groups())
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        self._named = {
            names[id(head.get_parameter(name))]: parameter for name, parameter in self.heads.parameters.items()
        }
        mark_groups(self._optimizer, self._named)

    def epoch(self, position: Position) -> tuple[HeadTally, float]:
        """Train all heads for the epoch that comes; return how they did, and by what their peak learning rates were
        multiplied in its last step."""
        job, plan, task = self._job, self._plan, self._job.data.task
        loss_of, count = task.loss(job.data.space, self._targets), task.count(job.data.space)
        torch_only = self._feed.torch_only and getattr(loss_of, "torch_only", False)
        tally, number = HeadTally(loss_of, count, len(self.heads)), position.epoch
        before, factor, started = number * plan.steps_per_epoch, 1.0, time.perf_counter()
        monitor = task.figure(job.config.training.monitor).name
        so_far = [each.val[monitor] for each in position.history if monitor in each.val]
        title = f"epoch {number + 1}/{plan.epochs}"
        with job.display.progress(title, plan.total_steps, before, "steps", so_far) as bar:
            for step, (inputs, targets) in enumerate(self._feed.batches(number, skip=0), start=before):
                first = plan.first_step
                factor = lr_factor(step - first, plan.warmup_steps, plan.total_steps - first)
                set_lr(self._optimizer, factor)
                on_device = targets.to(job.machine.device)
                with drawing_from(step_seed(job.config.seed, step), job.machine.device, torch_only):
                    tally.add(self._learn(inputs, on_device, loss_of), on_device)
                self._optimizer.step()
                forget_gradients(self._optimizer)
                done = time.perf_counter() - started
                bar.advance(step + 1, f"{len(self.heads)} heads", f"{rate(tally.seen / done)} img/s")
                job.stop.check()
        return tally, factor

    def _learn(self, inputs: Any, targets: torch.Tensor, loss_of: Any) -> torch.Tensor:
        """Leave each head's gradients in it; return the outputs [N, H, K].

        The mean over the images of all heads, times their number, has for each head the gradient of its own loss.
        """
        number, clip = len(self.heads), self._job.config.training.clip_norm
        machine, entering = self._job.machine, self._feed.entering(inputs)
        if machine.precision == "fp16":  # whose gradients a scale would have to fit, and there is one for all heads
            outputs = self.heads(entering.float())
        else:
            with machine.autocast():
                outputs = self.heads(entering).float()
        loss = loss_of(outputs.flatten(0, 1), targets.repeat_interleave(number, dim=0)) * number
        loss.backward()
        if clip is not None:
            self.heads.clip(clip)
        return outputs.detach()

    def state(self) -> dict[str, dict[str, Any]]:
        """What a checkpoint keeps of all heads, by the names of the one that they belong to."""
        kept = optimizer_state(self._optimizer)
        return {name: {**kept.get(name, {}), HEADS: parameter.detach()} for name, parameter in self._named.items()}

    def restore(self, saved: Mapping[str, Mapping[str, Any]], run: Run) -> None:
        """Take what `state` returned. Raises FtError where that is none of as many heads."""
        for name, parameter in self._named.items():
            values = saved.get(name, {}).get(HEADS)
            if not isinstance(values, torch.Tensor) or values.shape != parameter.shape:
                raise FtError(
                    f"{run.path / 'last.pt'} does not hold '{name}' of the {number_of(len(self.heads), 'head')} that "
                    "train side by side; take it from a copy of the run, or start another run"
                )
            with torch.no_grad():
                parameter.copy_(values)
        rest = {name: {key: value for key, value in each.items() if key != HEADS} for name, each in saved.items()}
        restore_optimizer(self._optimizer, rest)


def _begun(run: Run, module: nn.Module, job: Job) -> tuple[Position, Mapping[str, Mapping[str, Any]]]:
    if not run.has_checkpoint("last"):
        return Position(phases=[phase_from(job.config)]), {}
    last = run.load_checkpoint("last", module)
    return last.position, last.optimizer


def _best(val: list[Mapping[str, float]], tally: HeadTally, monitor: Figure, position: Position, plan: Plan) -> int:
    """The number of the head with the best figures. One that gave no numbers in training loses its figures. Raises
    FtError where none has any."""
    while numbers := [number for number, figures in enumerate(val) if figures]:
        best = max(numbers, key=lambda number: merit(val[number], monitor))
        if math.isfinite(tally.sums(best)[0]):
            return best
        val[best] = {}
    lowest = min(each.lr for each in plan.optimizer.candidates)
    raise FtError(
        f"none of the {number_of(len(val), 'head')} gives numbers after epoch {position.epoch + 1}; nothing of it was "
        f"kept. Try lower learning rates than {lowest:g}, which ft describe optimizer:{plan.optimizer.name} explains, "
        "--clip-norm 1, or --precision fp32"
    )


def _better(before: Tried, now: Tried, monitor: Figure) -> Tried:
    """What did better by the monitored figure: the earlier of equals."""
    if not now.val:
        return before
    return now if not before.val or merit(now.val, monitor) > merit(before.val, monitor) else before
