"""Precision and recall against a threshold, for one class or label: a slider, and the two as lines."""

from __future__ import annotations

import torch
from torch import Tensor

from ft import Chart, Line, Slider

_THRESHOLDS = tuple(each / 100 for each in range(1, 100))
_COLUMNS = (
    ("precision", ".1%"),
    ("recall", ".1%"),
    ("F1", ".3f"),
    ("images over it", ".0f"),
    ("of them right", ".0f"),
)
MOST = 40
"""Classes or labels that can be chosen; a page with a thousand would be too large to open."""


def costliest(costs: Tensor) -> list[int]:
    """The numbers of those that can be chosen, in their order: all, or of very many those that cost [C] most."""
    chosen = costs.argsort(descending=True, stable=True)[:MOST]
    return sorted(chosen.tolist())


def by_threshold(probabilities: Tensor, positive: Tensor, start: float) -> tuple[Slider, Chart]:
    """What comes of saying that images have a class or label from a probability [N] on, where those that are `positive`
    [N] have it. The slider stands at the threshold nearest to `start` first. A ratio over nothing is 0 there."""
    limits = torch.tensor(_THRESHOLDS, dtype=torch.float64)
    ordered = probabilities.double().sort().values
    ordered_hits = probabilities.double()[positive].sort().values
    over = len(ordered) - torch.searchsorted(ordered, limits)
    right = len(ordered_hits) - torch.searchsorted(ordered_hits, limits)
    have = int(positive.sum())
    precision, recall = right / over.clamp(min=1), right / max(1, have)
    f1 = 2 * right / (over + have).clamp(min=1)
    rows = tuple(zip(*(each.tolist() for each in (precision, recall, f1, over, right)), strict=True))
    nearest = int((limits - start).abs().argmin())
    drawn = [place for place, count in enumerate(over.tolist()) if count]
    lines = (
        Line("precision", tuple((_THRESHOLDS[place], float(precision[place])) for place in drawn)),
        Line("recall", tuple(zip(_THRESHOLDS, recall.tolist(), strict=True))),
    )
    chart = Chart("precision and recall by threshold", "threshold", "share", lines, y_form=".0%")
    return Slider("threshold", _THRESHOLDS, _COLUMNS, rows, start=nearest), chart
