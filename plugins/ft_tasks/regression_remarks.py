"""regression: what the numbers of a run's images may not have been meant to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ft import LabelSpace, Remark, number_of
from ft_tasks.regression import VALUE, RegressionSettings

_LEVELS = 10
"""Distinct whole numbers up to which they may stand for classes."""


def remarks(targets: Mapping[str, Tensor], space: LabelSpace, settings: RegressionSettings) -> Iterator[Remark]:
    """Say what is odd about the standardised targets [N, K] of "train", "val" and "test"."""
    train = targets["train"]
    lowest, highest = train.amin(0), train.amax(0)
    for part, each in targets.items():
        if not len(each):
            continue
        outside = ((each < lowest) | (each > highest)).any(1)
        if outside.any():
            said = f"{number_of(int(outside.sum()), 'image')} of {len(each)}"
            names = "" if space.names == (VALUE,) else f", as of '{_first_outside(each, lowest, highest, space)}'"
            yield Remark(f"{part} has numbers outside the range of train{names}: {said}", warns=True)
    for place, name in enumerate(space.names):
        levels = _whole_numbers(train[:, place], space.numbers["mean"][place], space.numbers["std"][place])
        if 0 < len(levels) <= _LEVELS and len(train) > 4 * len(levels):
            what = "the labels are" if name == VALUE else f"'{name}' is"
            yield Remark(
                f"{what} one of {len(levels)} whole numbers ({', '.join(map(str, levels))}) in {len(train)} training "
                "images; if they stand for classes, that is --task classification"
            )


def _first_outside(each: Tensor, lowest: Tensor, highest: Tensor, space: LabelSpace) -> str:
    columns = ((each < lowest) | (each > highest)).any(0)
    return space.names[int(columns.nonzero()[0])]


def _whole_numbers(column: Tensor, mean: float, deviation: float) -> list[int]:
    """The distinct numbers of a target, if they are few and whole as far as float32 tells; else none."""
    distinct = torch.unique(column)
    if len(distinct) > _LEVELS:
        return []
    numbers = distinct.double() * deviation + mean
    slack = 1e-6 * deviation + 1e-12 * abs(mean)
    whole = numbers.round()
    return (
        [int(each) for each in whole.tolist()] if slack < 0.1 and bool(((numbers - whole).abs() <= slack).all()) else []
    )
