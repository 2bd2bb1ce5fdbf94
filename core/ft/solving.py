"""Fitting a linear head on kept features by full-batch L-BFGS, with a sweep of the penalty on validation data.

With everything before it frozen, a linear head is multinomial logistic regression: a convex problem that steps on
batches approach slowly and L-BFGS (Liu & Nocedal 1989) solves. Dropout before the head plays no part in it.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from ft.checkpoints import Checkpoint, Position, moving_tensors, phase_from
from ft.config import Config
from ft.data import ImageData
from ft.devices import Machine
from ft.display import Display
from ft.errors import FtError
from ft.evaluation import evaluate
from ft.feeds import FeatureFeed, Feed
from ft.plan import Plan
from ft.prefix.linear import linear_head
from ft.runs import Run
from ft.signals import StopAsked, StopRequest
from ft.training import Criterion, best_epoch, make_criterion

MOST_ITERATIONS = 500


def solve(
    module: nn.Module,
    plan: Plan,
    feed: Feed,
    data: ImageData,
    config: Config,
    machine: Machine,
    run: Run,
    display: Display,
    stop: StopRequest,
) -> Position:
    """Fit the head for each of `config.training.penalties`, the strongest first; the best one is in best.pt.

    The objective is the mean loss over training images and views plus half the penalty times the squared norm of the
    head's weight. Each fit starts from the one before. An "epoch" of the history is one penalty; it is what a stopped
    run resumes at. Raises FtError when there are no kept features or more than a linear layer is left to train.
    """
    head = _linear(module, feed)
    assert isinstance(feed, FeatureFeed)
    inputs, labels = feed.everything(head)
    criterion = make_criterion(config.training, data, machine)
    position = Position(phases=[phase_from(config)])
    if run.has_checkpoint("last"):
        position = run.load_checkpoint("last", module).position

    def save(name: str) -> None:
        tensors = moving_tensors(module, plan.frozen, plan.frozen_modules)
        run.save_checkpoint(name, Checkpoint(position, tensors, {}, plan.digest()))

    module.eval()
    try:
        with display.progress("penalties", plan.epochs) as bar:
            for penalty in sorted(config.training.penalties, reverse=True)[position.epoch :]:
                started = time.perf_counter()
                loss, hits = fit_head(head, inputs, labels, penalty, criterion)
                position.finish_step(loss, hits, len(labels), time.perf_counter() - started)
                started = time.perf_counter()
                val = evaluate(feed.validation(stop), data.classes)
                record = position.finish_epoch(1.0, val, time.perf_counter() - started, penalty)
                is_best = best_epoch(position.history, config.training.monitor) is record
                if is_best:
                    save("best")
                save("last")
                run.log(position.history)
                display.penalty(record, plan.epochs, is_best)
                bar.advance(position.epoch)
                stop.check()
    except StopAsked:
        save("last")
        raise
    return position


def fit_head(
    head: nn.Linear,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    penalty: float,
    criterion: Criterion,
    tolerance: float = 1e-6,
) -> tuple[float, int]:
    """Minimise the objective over the head, starting from its values, until no derivative exceeds `tolerance`.

    `inputs` are [N, D], `labels` [N]. Returns the loss without the penalty, and how many answers are right.
    """
    optimizer = torch.optim.LBFGS(
        head.parameters(),
        max_iter=MOST_ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        total = criterion(head(inputs), labels) + 0.5 * penalty * head.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        logits = head(inputs)
        return float(criterion(logits, labels)), int((logits.argmax(1) == labels).sum())


def _linear(module: nn.Module, feed: Feed) -> nn.Linear:
    if not isinstance(feed, FeatureFeed):
        raise FtError(f"--optimizer lbfgs works on features computed once, and there are none: {feed.cost.reason}")
    module.eval()
    head = linear_head(feed.suffix_eval)
    if head is None:
        raise FtError("--optimizer lbfgs fits a linear head, and more is left to train; use --freeze all --head linear")
    return head
