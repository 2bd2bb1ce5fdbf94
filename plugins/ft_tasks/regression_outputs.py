"""regression: what is made of outputs, in the unit of the targets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ft import LabelSpace
from ft_tasks.regression import RegressionSettings, scales
from ft_tasks.regression_answers import NumberAnswer, NumbersAnswer


def predict(outputs: Tensor, space: LabelSpace, settings: RegressionSettings) -> Sequence[NumberAnswer | NumbersAnswer]:
    """Answer for each image of outputs [N, K]. Raises FtError for a space without a mean and a deviation of each
    target."""
    numbers = _numbers(outputs, space).tolist()
    if len(space.names) == 1:
        return [NumberAnswer(value) for (value,) in numbers]
    return [NumbersAnswer(space.names, tuple(each)) for each in numbers]


def readout(outputs: Tensor, space: LabelSpace, settings: RegressionSettings) -> Tensor:
    """The numbers of each image [N, K] in float32, as an exported model tells them."""
    return _numbers(outputs, space).float()


def _numbers(outputs: Tensor, space: LabelSpace) -> Tensor:
    means, deviations = scales(space)
    doubled = outputs.double()
    return doubled * doubled.new_tensor(deviations) + doubled.new_tensor(means)
