"""multilabel: what a run's page shows of how sure answers are, and of what another threshold of a label would do."""

from __future__ import annotations

import torch
from torch import Tensor

from ft import Chart, Choice, LabelSpace, Line, Note, Section, number_of
from ft_tasks.multilabel import EVEN, MultilabelSettings, thresholds_of
from ft_tasks.multilabel_outputs import probabilities
from ft_tasks.reliability import reliability
from ft_tasks.threshold_parts import MOST, by_threshold, costliest


def calibration(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Section:
    """The section of logits [N, K] and targets [N, K] of one split; what is not known is left out."""
    shares, known, positive = probabilities(outputs), targets >= 0, targets > 0
    limits = list(thresholds_of(space, settings) or [EVEN] * len(space.names))
    found = reliability(shares[known], positive[known])
    there = zip(found.said.tolist(), found.right.tolist(), found.counts.tolist(), strict=True)
    points = tuple((said, right) for said, right, count in there if count)
    chart = Chart(
        "how often images have labels",
        "probability that is said",
        "share that have it",
        (Line("all labels", points),),
        diagonal=True,
        note=f"Over all labels, probabilities are off by {found.expected_error():.1%} on average (expected calibration "
        "error, 15 bins).",
        x_form=".0%",
        y_form=".0%",
    )
    mistakes = ((shares >= torch.tensor(limits)) != positive) & known
    places = costliest(mistakes.sum(0))
    chosen = {
        space.names[place]: by_threshold(
            shares[known[:, place], place], positive[known[:, place], place], limits[place]
        )
        for place in places
    }
    left = len(space.names) - len(places)
    said = f" Shown are the {MOST} labels with most mistakes; {number_of(left, 'label')} are left out." if left else ""
    about = Note(f"An image is said to have a label from its threshold on, where the slider stands first.{said}")
    return Section(
        "Calibration",
        (chart, about, Choice("label", chosen)),
        lead="Of images that are said to have a label with 80%, 80% should have it; a threshold decides who has it.",
    )
