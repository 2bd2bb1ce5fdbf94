"""Fitting a linear head on kept features, with a sweep of the penalty on validation data.

With everything before it frozen, a linear head is multinomial logistic regression: a convex problem that steps on
batches approach slowly and `ft.training.logistic` solves. Dropout before the head plays no part in it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import cast

from torch import nn
from torch.nn.utils import parameters_to_vector

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.tasks import Loss, SolvableLoss
from ft.job import Job
from ft.plan.records import Plan
from ft.prefix.find import FrozenPrefix, split_module
from ft.prefix.linear import linear_head
from ft.run.checkpoints import Checkpoint, moving_tensors
from ft.run.folder import Run
from ft.run.position import Position, best_epoch, phase_from
from ft.task.chosen import ChosenTask
from ft.task.evaluation import figures_of
from ft.task.tally import tallied
from ft.text.names import typed
from ft.tracking.events import CheckpointSaved, PenaltyDone
from ft.training.early import ends_early, last_epoch
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import Feed
from ft.training.logistic import Fit, Regression, fit_head, make_regression


def solve(module: nn.Module, plan: Plan, feed: Feed, job: Job, run: Run) -> Position:
    """Fit the head for each of the plan's penalties, the strongest first; the best one is in best.pt.

    The objective is the mean loss over training images and views plus half the penalty times the squared norm of the
    head's weight. Each fit starts from the one before. An "epoch" of the history is one penalty; a run that is stopped
    within a fit resumes at the end of the one before, and ends with the same weights. Raises FtError when there are no
    kept features or something is not finite, and StopAsked when a signal asks to stop.
    """
    head, features = kept_features(module, feed, plan)
    task, space = job.data.task, job.data.space
    regression, monitor = _regression(head, features, job), task.figure(job.config.training.monitor)
    count = task.count(space)
    penalties = plan.optimizer.penalties
    position = _resume(run, module, job.config)

    def save(name: str) -> None:
        tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
        path = run.save_checkpoint(name, Checkpoint(position, tensors, {}, plan.digest()))
        job.tell(CheckpointSaved(path, position.epoch, position.step))

    if position.epoch == 0:
        save("last")
    module.eval()
    for penalty in penalties[position.epoch - plan.place.begins : last_epoch(plan, job) - plan.place.begins]:
        with job.display.progress("penalties", plan.epochs, position.epoch) as bar:
            started = time.perf_counter()
            fit = fit_head(head, regression, penalty, job.stop.check, minimiser=job.optimizer.build)
            _check_finite(fit.loss, "training loss", penalty, penalties)
            largest = parameters_to_vector(head.parameters()).detach().abs().max()
            _check_finite(float(largest), "largest weight", penalty, penalties)
            if not fit.converged:
                job.display.warn(_not_converged(plan.optimizer.name, penalty, fit))
            position.tally = tallied(count, (fit.outputs, regression.targets))
            position.finish_step(fit.loss, len(regression.targets), time.perf_counter() - started)
            started = time.perf_counter()
            val = figures_of(feed.validation(), task, space)
            bar.advance(position.epoch + 1)
        if not math.isfinite(val["loss"]):  # the weights are finite, so their penalty is not to blame
            raise FtError(
                f"the validation loss became {val['loss']}: features of validation images are not finite, so nothing "
                "can be chosen by them. Try --precision fp32, or other --weights"
            )
        seconds = time.perf_counter() - started
        record = position.finish_epoch(1.0, val, seconds, task.record.tally_name, penalty)
        is_best = position.is_best(record, monitor)
        if is_best:
            save("best")
        elif plan.place.begins and best_epoch(position.in_phase, monitor) is record:
            save("phase")
        save("last")
        run.log(position)
        job.tell(PenaltyDone(record, plan.epochs, is_best, task.figures))
        job.stop.check()
        if ends_early(position, plan, job, run):
            break
    return position


def solvable(task: ChosenTask, loss: Loss) -> SolvableLoss:
    """The loss, as one that can be minimised at once. Raises FtError where the task's is none."""
    if not (hasattr(loss, "curvature") and hasattr(loss, "shift_invariant")):
        told = ", ".join(f"{name}={value}" for name, value in task.settings.model_dump(exclude_defaults=True).items())
        raise FtError(
            f"the loss of task '{task.name}'{f' with {told}' if told else ''} cannot be solved for at once, as it is "
            "not convex, or does not say how it bends; use --optimizer adamw"
        )
    return cast(SolvableLoss, loss)


def check_linear(prefix: FrozenPrefix, plan: Plan) -> None:
    """Raise FtError when more than a linear layer is left to train."""
    asked = f"--optimizer {plan.optimizer.name} fits a linear head"
    if prefix.observed.graph.boundaries is not None:
        raise FtError(
            f"{asked}, and in a network that cannot be traced nobody sees that no more is "
            "left to train; use --optimizer adamw"
        )
    if moving := [barrier for barrier in prefix.cut.barriers if barrier.kind in ("random", "statistics", "state")]:
        raise FtError(
            f"{asked} on features that never change, and {moving[0].path} {moving[0].reason}; use --optimizer adamw"
        )
    suffix = split_module(prefix).suffix_eval
    if suffix is not None and linear_head(suffix) is None:
        trains = [each for each in suffix.modules() if any(p.requires_grad for p in each.parameters(recurse=False))]
        if all(isinstance(each, nn.Conv2d) for each in trains):
            raise FtError(
                f"{asked} of vectors, and this backbone classifies every position and pools afterwards: "
                f"{', '.join(plan.head)}; use --optimizer adamw (its provider could say pooled_after)"
            )
        raise FtError(
            f"{asked}, and more is left to train, or something else: "
            f"{', '.join(plan.head)}; use --freeze all --head linear, or --optimizer adamw"
        )


def kept_features(module: nn.Module, feed: Feed, plan: Plan) -> tuple[nn.Linear, FeatureFeed]:
    """The linear head of `module`, which is left in eval mode, and the feed that has what enters it. Raises FtError
    where features are not kept."""
    if not isinstance(feed, FeatureFeed):
        raise FtError(
            f"--optimizer {plan.optimizer.name} works on features computed once, and there are none: {feed.cost.reason}"
        )
    module.eval()
    head = linear_head(feed.suffix_eval)
    assert head is not None, "the plan refuses any other"
    return head, feed


def _regression(head: nn.Linear, feed: FeatureFeed, job: Job) -> Regression:
    data = job.data
    inputs, targets = feed.everything()
    broken = (~inputs.isfinite().all(1)).nonzero().flatten().tolist()
    if broken:
        raise FtError(
            f"the features of {len(broken)} of {len(inputs)} training images are not finite, those of "
            f"{data.train[broken[0] % len(data.train)].picture.name} first; no head can be fitted to them. Try "
            "--precision fp32, or other --weights"
        )
    loss = solvable(data.task, data.task.loss(data.space, targets))
    return make_regression(inputs, targets, loss, head.bias is not None)


def _resume(run: Run, module: nn.Module, config: Config) -> Position:
    if not run.has_checkpoint("last"):
        return Position(phases=[phase_from(config)])
    return run.load_checkpoint("last", module).position


def _check_finite(value: float, what: str, penalty: float, penalties: Sequence[float]) -> None:
    if not math.isfinite(value):
        others = ",".join(f"{each:g}" for each in penalties if each != penalty) or "0.01"
        raise FtError(
            f"the {what} became {value} with penalty {penalty:g}; nothing of that fit was kept. Start a new run "
            f"without it: {typed('--set', f'training.optimizer.penalties=[{others}]')}"
        )


def _not_converged(name: str, penalty: float, fit: Fit) -> str:
    return (
        f"with penalty {penalty:g}, {name} has not reached the minimum in {fit.iterations} iterations; the head is "
        "what they came to. Larger training.penalties need fewer"
    )
