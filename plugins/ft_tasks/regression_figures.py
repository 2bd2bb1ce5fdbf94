"""regression: how far answers are off, in the unit of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ft import LabelSpace, Table
from ft_tasks.regression import RegressionSettings, straight_from

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetFigures:
    """For each target [K], in float64: the mean absolute error, the root of the mean squared error, the share of the
    variance that is explained; and mean and standard deviation of what was to be answered."""

    mae: Numbers
    rmse: Numbers
    r2: Numbers
    mean: Numbers
    deviation: Numbers


class RegressionMeter:
    """Keeps what was answered until it is asked, as a variance is best computed around a mean that is known. Outputs
    and targets [N, K] are arrays or, on the CPU, tensors."""

    def __init__(self, space: LabelSpace, settings: RegressionSettings) -> None:
        self._space, self._delta = space, straight_from(settings)
        self._outputs, self._targets = list[NDArray[np.float32]](), list[NDArray[np.float32]]()

    def add(self, outputs: ArrayLike, targets: ArrayLike) -> None:
        self._outputs.append(np.asarray(outputs).astype(np.float32))
        self._targets.append(np.asarray(targets).astype(np.float32))

    def merge(self, other: RegressionMeter) -> None:
        self._outputs += other._outputs
        self._targets += other._targets

    def figures(self) -> Mapping[str, float]:
        """Of several targets the mean over them, each in its unit. The loss is that of standardised targets."""
        outputs, targets = self._all()
        found = figures_of(outputs, targets, self._space)
        return {
            "loss": deviation_loss(outputs, targets, self._delta) if len(targets) else 0.0,
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

    def _all(self) -> tuple[Numbers, Numbers]:
        if not self._outputs:
            empty = np.empty((0, len(self._space.names)))
            return empty, empty
        return np.concatenate(self._outputs).astype(np.float64), np.concatenate(self._targets).astype(np.float64)


def deviation_loss(outputs: Numbers, targets: Numbers, delta: float | None) -> float:
    """`regression_loss.DeviationLoss` of standardised outputs and targets [N, K], without torch."""
    off = np.abs(outputs - targets)
    bent = off if delta is None else np.minimum(off, delta)
    return float((bent * (off - bent / 2)).mean())


def figures_of(outputs: Numbers, targets: Numbers, space: LabelSpace) -> TargetFigures:
    """Figures of standardised outputs and targets [N, K], in the unit of the targets.

    Where the targets of these images are all the same, no variance can be explained: R² is 1 if the answers are, too,
    and 0 otherwise, as scikit-learn says. Of no image all are 0.
    """
    mean, scale = (np.asarray(space.numbers[name], np.float64) for name in ("mean", "std"))
    if not len(targets):
        nothing = np.zeros_like(mean)
        return TargetFigures(nothing, nothing, nothing, nothing, nothing)
    errors, average = outputs - targets, targets.mean(0)
    squared, spread = np.square(errors).mean(0), np.square(targets - average).mean(0)
    constant = targets.min(0) == targets.max(0)
    r2 = np.where(constant, squared == 0, 1 - squared / np.where(constant, 1, spread))
    return TargetFigures(
        np.abs(errors).mean(0) * scale,
        np.sqrt(squared) * scale,
        r2,
        average * scale + mean,
        np.where(constant, 0, np.sqrt(spread)) * scale,
    )


_COLUMNS = {
    "target": ("target", ""),
    "mae": ("MAE", ".4g"),
    "rmse": ("RMSE", ".4g"),
    "r2": ("R²", ".3f"),
    "mean": ("mean", ".4g"),
    "deviation": ("deviation", ".4g"),
}
