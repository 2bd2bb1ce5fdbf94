"""What is made of the logits of classes: answers, what they tell in numbers, how uncertain they are."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence

from torch import Tensor

from ft import LabelSpace
from ft_tasks.class_answers import ClassAnswer
from ft_tasks.classification import ClassificationSettings, temperature_of
from ft_tasks.temperature import shares_of


def predict(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Sequence[ClassAnswer]:
    """The answer to each image, of its logits [N, C]."""
    shares = shares_of(outputs, temperature_of(space))
    return [ClassAnswer(space.names, array.array("f", row.numpy().tobytes())) for row in shares]


def uncertainty(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """1 less the margin between the two likeliest classes [N], from 0 to 1 (Scheffer, Decomain & Wrobel 2001, "Active
    hidden Markov models for information extraction"): a label teaches most where two classes are equally likely,
    however many others are not."""
    best = shares_of(outputs, temperature_of(space)).topk(2, dim=1).values
    return 1 - (best[:, 0] - best[:, 1])


def readout(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """How likely each image is of each class [N, C], of its logits, as an exported model tells it."""
    return (outputs / temperature_of(space)).softmax(1)


def average(outputs: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """Logits [N, C] whose probabilities, at the temperature of the space, are the means of those of the views'
    [V, N, C]: a mixture of predictions, whose cross-entropy is at most the mean of theirs (Lakshminarayanan, Pritzel &
    Blundell 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles", section 2.4)."""
    temperature = temperature_of(space)
    logarithms = (outputs.double() / temperature).log_softmax(2)
    return (temperature * (logarithms.logsumexp(0) - math.log(len(outputs)))).float()
