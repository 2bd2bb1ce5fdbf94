"""What the page of a run shows of numbers: answers beside the truth, how far they are off, and the largest errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ft import Chart, Choice, LabelSpace, Line, Pictures, Section, Shot
from ft_tasks.regression import RegressionSettings
from ft_tasks.regression_figures import RegressionMeter

MOST = 12
"""Images of the largest errors."""
MOST_TARGETS = 60
"""Targets that can be chosen from."""
BINS = 25


def sections(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: RegressionSettings) -> list[Section]:
    """By target, answers beside the truth, and the largest errors, of standardised outputs and targets [N, K]."""
    mean, scale = (torch.tensor(space.numbers[name], dtype=torch.float64) for name in ("mean", "std"))
    answers, truth = outputs.double() * scale + mean, targets.double() * scale + mean
    meter = RegressionMeter(space, settings)
    meter.add(outputs, targets)
    numbers = range(min(len(space.names), MOST_TARGETS))
    charts = {space.names[each]: _charts(answers[:, each], truth[:, each]) for each in numbers}
    pictures = {space.names[each]: (_largest(answers[:, each], truth[:, each], each),) for each in numbers}
    lead = "On the diagonal, an answer is right. Each point is an image, and opens it."
    return [
        Section("By target", tuple(meter.tables()), "How far answers are off, in the unit of each target."),
        Section("Answered and true", _chosen(charts), lead),
        Section("Largest errors", _chosen(pictures), "The images whose answers are farthest from the truth."),
    ]


def guess(targets: Tensor, space: LabelSpace, settings: RegressionSettings) -> Tensor:
    """The mean of each target over the training images [K], which is 0 in their standard deviations."""
    return torch.zeros(len(space.names))


def _chosen(parts: Mapping[str, Sequence[Chart | Pictures]]) -> tuple[Chart | Pictures | Choice, ...]:
    """What there is of each target, to be chosen from where there are several."""
    if len(parts) == 1:
        return tuple(*parts.values())
    return (Choice("target", {name: tuple(some) for name, some in parts.items()}),)


def _charts(answers: Tensor, truth: Tensor) -> tuple[Chart, ...]:
    points = tuple(zip(truth.tolist(), answers.tolist(), strict=True))
    against = Line("", points, tuple(range(len(points))))
    return (
        Chart(
            "Answered against true",
            "true",
            "answered",
            (against,),
            kind="points",
            diagonal=True,
            x_form=".4g",
            y_form=".4g",
        ),
        _residuals(answers - truth),
    )


def _residuals(off: Tensor) -> Chart:
    """How many answers are off by how much: too high to the right."""
    reach = max(float(off.abs().max()), 1e-9)
    width = 2 * reach / BINS
    places = ((off + reach) / width).long().clamp(0, BINS - 1)
    counts = places.bincount(minlength=BINS).tolist()
    bars = tuple((-reach + (number + 0.5) * width, float(count)) for number, count in enumerate(counts))
    return Chart("How far off", "answered minus true", "images", (Line("", bars),), kind="bars", x_form=".3g")


def _largest(answers: Tensor, truth: Tensor, target: int) -> Pictures:
    off = answers - truth
    worst = off.abs().argsort(descending=True, stable=True)[:MOST].tolist()
    shots = tuple(
        Shot(
            place,
            f"{float(truth[place]):.4g}; answered {float(answers[place]):.4g}, {float(off[place]):+.3g}",
            of=target,
        )
        for place in worst
    )
    return Pictures("", shots)
