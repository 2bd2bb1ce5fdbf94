"""classification: what a run's page shows of how sure answers are, and of what a threshold on a class would do."""

from __future__ import annotations

import torch
from torch import Tensor

from ft import Chart, Choice, LabelSpace, Line, Note, Section, number_of
from ft_tasks.classification import TEMPERATURE, temperature_of
from ft_tasks.reliability import Reliability, reliability
from ft_tasks.temperature import FEWEST_IMAGES, FEWEST_MISTAKES, in_parts, likeliest, shares_of
from ft_tasks.threshold_parts import MOST, by_threshold, costliest


def calibration(outputs: Tensor, targets: Tensor, space: LabelSpace) -> Section:
    """The section of logits [N, C] and classes [N] of one split."""
    temperature, right = temperature_of(space), outputs.argmax(1) == targets
    found = reliability(likeliest(outputs, temperature), right)
    before = reliability(likeliest(outputs, 1.0), right)
    parts: list[Note | Chart | Choice] = [Note(_about(space, temperature)), Note(_errors(found, before, temperature))]
    lines = [Line("as answered", _points(found))]
    if temperature != 1:
        lines.append(Line("without the temperature", _points(before)))
    parts.append(
        Chart(
            "how often answers are right",
            "probability that is said",
            "share that is right",
            tuple(lines),
            diagonal=True,
            note="A point below the diagonal is of answers that are surer than they are right. Points of few images "
            "are off by chance.",
            x_form=".0%",
            y_form=".0%",
        )
    )
    parts.append(
        Chart(
            "how sure answers are",
            "probability that is said",
            "images",
            (Line("images", _counts(found)),),
            "bars",
            x_form=".0%",
        )
    )
    parts += _thresholds(outputs, targets, right, space)
    return Section(
        "Calibration",
        tuple(parts),
        lead="Of answers that are said with 80%, 80% should be right, and a threshold can ask for more than that.",
    )


def _thresholds(outputs: Tensor, targets: Tensor, right: Tensor, space: LabelSpace) -> tuple[Note, Choice]:
    """For each class, or those of which most images were taken for another: what a threshold on it would do."""
    places = costliest(torch.bincount(targets[~right], minlength=len(space.names)))
    temperature = temperature_of(space)
    shares = torch.cat([shares_of(some, temperature)[:, places] for (some,) in in_parts(outputs)])
    chosen = {
        space.names[place]: by_threshold(shares[:, column], targets == place, 0.5)
        for column, place in enumerate(places)
    }
    left = len(space.names) - len(places)
    said = (
        f" Shown are the {MOST} classes with most mistakes; {number_of(left, 'class', 'classes')} are left out."
        if left
        else ""
    )
    about = Note(f"An image is said to be of the class from the threshold on, whatever else it may be.{said}")
    return about, Choice("class", chosen)


def _about(space: LabelSpace, temperature: float) -> str:
    if TEMPERATURE not in space.numbers:
        return "The probabilities are those of the network: this run is from before ft fitted a temperature."
    if temperature == 1:
        return (
            "The probabilities are those of the network: its temperature is 1, as where validation has less than "
            f"{FEWEST_IMAGES} images or less than {FEWEST_MISTAKES} mistakes, which do not tell how often answers are "
            "wrong."
        )
    how = "less sure" if temperature > 1 else "surer"
    return (
        f"The logits are divided by a temperature of {temperature:.3g}, which fits the validation images best and "
        f"makes answers {how}. It changes no answer."
    )


def _errors(found: Reliability, before: Reliability, temperature: float) -> str:
    said = f"Probabilities are off by {found.expected_error():.1%} on average (expected calibration error, 15 bins)"
    return f"{said}; without the temperature by {before.expected_error():.1%}." if temperature != 1 else f"{said}."


def _points(found: Reliability) -> tuple[tuple[float, float], ...]:
    there = zip(found.said.tolist(), found.right.tolist(), found.counts.tolist(), strict=True)
    return tuple((said, right) for said, right, count in there if count)


def _counts(found: Reliability) -> tuple[tuple[float, float], ...]:
    bins = len(found.counts)
    return tuple(((place + 0.5) / bins, count) for place, count in enumerate(found.counts.tolist()))
