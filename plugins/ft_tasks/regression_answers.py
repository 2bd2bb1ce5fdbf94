"""regression: what is said of an image, in the unit of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ft import Answer, LabelSpace
from ft_tasks.regression import RegressionSettings, scales


@dataclass(frozen=True)
class NumberAnswer(Answer):
    """The number of an image, where there is one target."""

    value: float


@dataclass(frozen=True, repr=False)
class NumbersAnswer(Answer):
    """The numbers of an image, where there are several targets, whose names are `names`."""

    names: tuple[str, ...]
    _numbers: tuple[float, ...]

    @property
    def values(self) -> dict[str, float]:
        """Target -> number."""
        return dict(zip(self.names, self._numbers, strict=True))

    def said(self, top: int) -> dict[str, Any]:
        return {"values": self.values}

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        return f"<{self.image}: {said}>" if self.image else f"<{said}>"


def answers(
    outputs: NDArray[np.float32], space: LabelSpace, settings: RegressionSettings
) -> Sequence[NumberAnswer | NumbersAnswer]:
    """Answer for each image of outputs [N, K], without torch. Raises FtError as `scales` does."""
    means, deviations = scales(space)
    numbers = (outputs.astype(np.float64) * np.asarray(deviations) + np.asarray(means)).tolist()
    if len(space.names) == 1:
        return [NumberAnswer(value) for (value,) in numbers]
    return [NumbersAnswer(space.names, tuple(each)) for each in numbers]
