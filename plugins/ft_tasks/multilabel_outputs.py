"""multilabel: what is made of outputs: answers, what they tell in numbers, how uncertain they are."""

from __future__ import annotations

import array
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ft import LabelSpace
from ft_tasks.multilabel import EVEN, MultilabelSettings, thresholds_of
from ft_tasks.multilabel_answers import LabelsAnswer


def probabilities(outputs: Tensor) -> Tensor:
    """How likely labels are, in float64, as `thresholds.probabilities` has it."""
    return outputs.double().sigmoid()


def predict(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Sequence[LabelsAnswer]:
    """Answer for each image of outputs [N, K]."""
    shares, limits = _shares_and_limits(outputs, space, settings)
    over = shares >= limits
    single = shares.float()
    order = shares.argsort(dim=1, descending=True, stable=True)
    answers = []
    for image, places in enumerate(order):
        kept = places[over[image][places]]
        answers.append(
            LabelsAnswer(
                space.names,
                array.array("f", single[image].numpy().tobytes()),
                array.array("q", kept.numpy().tobytes()),
                settings.separator,
            )
        )
    return answers


def uncertainty(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """How near the probability of any label is to its threshold [N]: 1 where one is on it, 0 where all are 0 or 1."""
    shares, limits = _shares_and_limits(outputs, space, settings)
    away = torch.where(shares < limits, (limits - shares) / limits, (shares - limits) / (1 - limits).clamp(min=1e-12))
    return 1 - away.amin(1)


def _shares_and_limits(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> tuple[Tensor, Tensor]:
    """The probabilities [N, K] of labels, and the threshold [K] of each."""
    shares = probabilities(outputs)
    return shares, shares.new_tensor(thresholds_of(space, settings) or [EVEN] * len(space.names))


def readout(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """How likely each image has each label [N, K], as an exported model tells it."""
    return outputs.sigmoid()


def average(outputs: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """Logits [N, K] whose probabilities are the means of those of the views' [V, N, K], as of classes."""
    have, lack = (logsigmoid(each).logsumexp(0) for each in (outputs.double(), -outputs.double()))
    return (have - lack).float()
