"""How a model is fitted: in steps, as many linear heads side by side, or where an optimizer solves for it, at once."""

from __future__ import annotations

from torch import nn

from ft.config.training import TrainingConfig
from ft.data.load import ImageData
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.job import Job
from ft.plan.records import Plan
from ft.prefix.find import FrozenPrefix
from ft.run.folder import Run
from ft.run.position import Position
from ft.training.feeds import Feed
from ft.training.loop import train
from ft.training.solving import check_linear, solvable, solve
from ft.training.sweeping import sweep


def set_fitting_modes(module: nn.Module, training: TrainingConfig) -> None:
    """Put `module`, whose frozen modules are in eval mode, into the modes that it is fitted in: where heads are fitted
    to kept features, dropout plays no part in it."""
    if training.fits_heads:
        module.eval()


def check_fit(plan: Plan, prefix: FrozenPrefix | None, data: ImageData) -> None:
    """Raise FtError when the optimizer cannot fit what is left to train, or not to the task's loss."""
    if plan.optimizer.fits_heads and prefix is not None:
        check_linear(prefix, plan)
    if plan.optimizer.solves and prefix is not None:
        solvable(data.task, data.task.loss(data.space, targets_of(data.train)))
        if data.shuffle is not True:
            raise FtError(
                f"task '{data.task.name}' is to draw some images more often than others, and --optimizer "
                f"{plan.optimizer.name} draws none: it looks at all at once. Use weights, or --optimizer adamw"
            )


def fit(module: nn.Module, plan: Plan, feed: Feed, job: Job, run: Run) -> Position:
    """Fit `module` as `plan` says; the best of its states is in best.pt. Raises as `train`, `sweep` and `solve` do."""
    how = solve if plan.optimizer.solves else sweep if plan.optimizer.candidates else train
    return how(module, plan, feed, job, run)
