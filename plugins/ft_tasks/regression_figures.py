"""regression: how far answers are off, in the unit of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ft import LabelSpace, Table
from ft_tasks.regression import RegressionSettings
from ft_tasks.regression_loss import make_loss


@dataclass(frozen=True, eq=False)
class TargetFigures:
    """For each target [K], in float64: the mean absolute error, the root of the mean squared error, the share of the
    variance that is explained; and mean and standard deviation of what was to be answered."""

    mae: Tensor
    rmse: Tensor
    r2: Tensor
    mean: Tensor
    deviation: Tensor


class RegressionMeter:
    """Keeps what was answered until it is asked, as a variance is best computed around a mean that is known."""

    def __init__(self, space: LabelSpace, settings: RegressionSettings) -> None:
        self._space, self._loss = space, make_loss(space, settings)
        self._outputs, self._targets = list[Tensor](), list[Tensor]()

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        self._outputs.append(outputs.float().clone())
        self._targets.append(targets.float().clone())

    def merge(self, other: RegressionMeter) -> None:
        self._outputs += other._outputs
        self._targets += other._targets

    def figures(self) -> Mapping[str, float]:
        """Of several targets the mean over them, each in its unit. The loss is that of standardised targets."""
        outputs, targets = self._all()
        found = figures_of(outputs, targets, self._space)
        return {
            "loss": float(self._loss(outputs, targets)) if len(targets) else 0.0,
            "mae": float(found.mae.mean()),
            "rmse": float(found.rmse.mean()),
            "r2": float(found.r2.mean()),
        }

    def tables(self) -> Sequence[Table]:
        found = figures_of(*self._all(), self._space)
        columns = {name: getattr(found, name).tolist() for name in ("mae", "rmse", "r2", "mean", "deviation")}
        rows = tuple(
            {"target": target, **{name: column[place] for name, column in columns.items()}}
            for place, target in enumerate(self._space.names)
        )
        return [Table("targets", _COLUMNS, rows, costs=tuple((1 - found.r2).tolist()))]

    def _all(self) -> tuple[Tensor, Tensor]:
        empty = torch.empty(0, len(self._space.names), dtype=torch.float64)
        if not self._outputs:
            return empty, empty
        return torch.cat(self._outputs).double(), torch.cat(self._targets).double()


def figures_of(outputs: Tensor, targets: Tensor, space: LabelSpace) -> TargetFigures:
    """Figures of standardised outputs and targets [N, K], in the unit of the targets.

    Where the targets of these images are all the same, no variance can be explained: R² is 1 if the answers are, too,
    and 0 otherwise, as scikit-learn says. Of no image all are 0.
    """
    mean, scale = (torch.tensor(space.numbers[name], dtype=torch.float64) for name in ("mean", "std"))
    if not len(targets):
        nothing = torch.zeros_like(mean)
        return TargetFigures(nothing, nothing, nothing, nothing, nothing)
    errors, average = outputs - targets, targets.mean(0)
    squared, spread = errors.square().mean(0), (targets - average).square().mean(0)
    constant = targets.amin(0) == targets.amax(0)
    r2 = torch.where(constant, (squared == 0).double(), 1 - squared / torch.where(constant, 1, spread))
    return TargetFigures(
        errors.abs().mean(0) * scale,
        squared.sqrt() * scale,
        r2,
        average * scale + mean,
        torch.where(constant, 0, spread.sqrt()) * scale,
    )


_COLUMNS = {
    "target": ("target", ""),
    "mae": ("MAE", ".4g"),
    "rmse": ("RMSE", ".4g"),
    "r2": ("R²", ".3f"),
    "mean": ("mean", ".4g"),
    "deviation": ("deviation", ".4g"),
}
