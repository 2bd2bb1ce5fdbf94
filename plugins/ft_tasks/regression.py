"""regression: one number an image, or several. What the numbers are, and how they are scaled to be learnt."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

import ft
from ft import FtError, Label, LabelSpace, did_you_mean, some_names
from ft_tasks.numbers import number

VALUE = "value"
"""The name of the target of labels that are one text."""
_FEW = 20
"""Distinct values up to which each is a kind of image by itself, when some are set aside."""
_OFTEN = 5
"""Images that there are of such a value at least, on average: of a number that one image has, none can be set aside."""
_RANGES = 10
_DELTA = 1.0
"""Ranges of numbers, of as many images at least, where there are more values."""


class RegressionSettings(ft.Settings):
    loss: Literal["huber", "squared"] = Field(
        "huber",
        description="squared: half the square of the deviation; huber: the same up to delta, beyond it a straight "
        "line, so that a few wild numbers do not rule",
    )
    delta: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="where huber goes over, in standard deviations of the target; default: 1",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> RegressionSettings:
        if self.delta is not None and self.loss != "huber":
            raise ValueError("delta is the Huber loss's; leave it out, or take loss=huber")
        return self


def space(labels: Sequence[Label], settings: RegressionSettings) -> LabelSpace:
    """Return the targets, with their means and standard deviations (those of the population) over the images.

    Raises FtError for what is no number, for labels of different columns, and for a target that is always the same.
    """
    names = _names_of(labels)
    columns = list(zip(*(values(label, names) for label in labels), strict=True))
    means, deviations = [], []
    for name, column in zip(names, columns, strict=True):
        what = "every training image" if name == VALUE else f"'{name}' of every training image"
        if min(column) == max(column):
            raise FtError(f"{what} is {column[0]:g}; where nothing differs there is nothing to learn")
        mean, deviation = _moments(column)
        if not (math.isfinite(deviation) and deviation > 0):
            raise FtError(f"{what} is so large, up to {max(column, key=abs):g}, that numbers end; take another unit")
        means.append(mean)
        deviations.append(deviation)
    return LabelSpace(names, numbers={"mean": tuple(means), "std": tuple(deviations)})


def extend(labels: Sequence[Label], known: LabelSpace, settings: RegressionSettings) -> LabelSpace:
    """The targets of a run that this one starts from, scaled as there: the head that it starts with answers in these
    units. Raises FtError for other targets."""
    if set(names := space(labels, settings).names) != set(known.names):
        raise FtError(f"the targets are {some_names(names)}, and were {some_names(known.names)}")
    return known


def encode(labels: Sequence[Label], space: LabelSpace, settings: RegressionSettings) -> list[tuple[float, ...]]:
    """Return for each image its targets, in standard deviations from their means. Raises FtError for what is no
    number."""
    means, deviations = space.numbers["mean"], space.numbers["std"]
    return [
        tuple((v - m) / d for v, m, d in zip(values(label, space.names), means, deviations, strict=True))
        for label in labels
    ]


def strata(labels: Sequence[Label], settings: RegressionSettings) -> Sequence[Hashable]:
    """Return what images have in common, as it may be told: the number itself where few numbers occur often, else its
    range among all: a tenth of the images, or ten images where there are fewer than a hundred, so that a share of a
    range is a share. Of several targets that is the range of their mean rank."""
    names = _names_of(labels)
    rows = [values(label, names) for label in labels]
    if len(set(rows)) <= min(_FEW, len(rows) // _OFTEN):
        return [", ".join(f"{value:.17g}" for value in row) for row in rows]
    ranges = max(1, min(_RANGES, len(rows) // _RANGES))
    ranks = [_ranks(column) for column in zip(*rows, strict=True)]
    together = _ranks([sum(each) for each in zip(*ranks, strict=True)])
    return [f"range {1 + int(ranges * rank / len(rows))} of {ranges}" for rank in together]


def values(label: Label, names: Sequence[str]) -> tuple[float, ...]:
    """Read the number of each target. Raises FtError for what is none. One target may be called anything."""
    if isinstance(label, str):
        if len(names) > 1:
            raise FtError(
                f"an image has the one label '{label}', but there are {len(names)} targets: {some_names(names)}"
            )
        return (number(label, "the label" if label.strip() else "a label"),)
    if len(names) == 1 == len(label) and VALUE in (names[0], *label):
        return tuple(number(text, f"column '{name}'") for name, text in label.items())
    _check_columns(label, names)
    return tuple(number(label[name], f"column '{name}'") for name in names)


def straight_from(settings: RegressionSettings) -> float | None:
    """From which deviation on, in standard deviations of the target, the loss is a straight line; None where it is the
    square everywhere."""
    return (settings.delta or _DELTA) if settings.loss == "huber" else None


def scales(space: LabelSpace) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of each target, in which outputs are. Raises FtError for a space without them."""
    count = len(space.names)
    return space.read("mean", count, positive=False), space.read("std", count)


def _names_of(labels: Sequence[Label]) -> tuple[str, ...]:
    """The columns of labels, in the order of the first. Raises FtError where texts and columns are mixed."""
    texts = sum(isinstance(label, str) for label in labels)
    if texts == len(labels):
        return (VALUE,)
    if texts:
        text = next(label for label in labels if isinstance(label, str))
        raise FtError(f"some labels are columns, others a text, as '{text}'; regression takes one or the other")
    names = tuple(labels[0])
    if not names:
        raise FtError("the labels have no column; name those to learn, as in --set 'data.columns=[a, b]'")
    return names


def _check_columns(label: Mapping[str, str], names: Sequence[str]) -> None:
    for name in label:
        if name not in names:
            raise FtError(f"there is no target '{name}'.{did_you_mean(name, names)} Targets: {some_names(names)}")
    lacking = [name for name in names if name not in label]
    if lacking:
        raise FtError(f"an image has no value for {some_names(lacking)}; regression needs a number for every target")


def _moments(column: Sequence[float]) -> tuple[float, float]:
    try:
        mean = math.fsum(column) / len(column)
        return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
    except OverflowError:
        return math.inf, math.inf


def _ranks(column: Sequence[float]) -> list[int]:
    """The place of each value among all, 0 for the least; equal values have the place of the first of them."""
    first: dict[float, int] = {}
    for place, value in enumerate(sorted(column)):
        first.setdefault(value, place)
    return [first[value] for value in column]
