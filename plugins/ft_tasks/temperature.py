"""classification: the temperature by which logits are divided, so that a probability says how often it is right (Guo,
Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", section 4.2).

It changes no answer, only how sure the model says it is: nothing but `predict` reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ft import LabelSpace
from ft_tasks.classification import TEMPERATURE, ClassificationSettings

FEWEST_IMAGES, FEWEST_MISTAKES = 50, 5
"""Validation images, and wrong answers to them, below which none is fitted: a few mistakes, or none, do not tell how
often an answer is wrong."""
LARGEST = 20.0
"""Temperatures are fitted from 1 divided by this to this. Networks that were trained for long need 1 to 3, heads that
were hardly trained less than 1."""
_STEPS, _CLOSE = 50, 1e-7
_TOGETHER = 2**22
"""Logits that are looked at at once."""


def calibrate(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> LabelSpace:
    """The label space with the temperature that fits the validation images' logits [N, C] and classes [N]; with 1,
    which changes nothing, where too few of them tell."""
    fitted = 1.0 if too_few(outputs, targets) else fit_temperature(outputs, targets)
    return LabelSpace(space.names, space.outputs, {**space.numbers, TEMPERATURE: (fitted,)})


def too_few(outputs: Tensor, targets: Tensor) -> str:
    """Why no temperature is fitted to these images, or ""."""
    mistakes = int((outputs.argmax(1) != targets).sum())
    if len(targets) < FEWEST_IMAGES:
        return f"there are {len(targets)} validation images, and it takes {FEWEST_IMAGES}"
    if mistakes < FEWEST_MISTAKES:
        return f"there are {mistakes} mistakes on {len(targets)} validation images, and it takes {FEWEST_MISTAKES}"
    return ""


def fit_temperature(outputs: Tensor, targets: Tensor) -> float:
    """The temperature with which the mean cross-entropy of logits [N, C] and classes [N] is lowest, within bounds.

    The cross-entropy is convex in the inverse of the temperature, so Newton's steps lead there, kept between the two
    ends within which the slope changes its sign.
    """
    low, high, inverse = 1 / LARGEST, LARGEST, 1.0
    for end in (low, high):
        slope, _ = _slope(outputs, targets, end)
        if (slope >= 0) == (end == low):  # it falls no further towards the inside
            return 1 / end
    for _ in range(_STEPS):
        slope, bend = _slope(outputs, targets, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        before, inverse = inverse, inverse - slope / bend if bend > 0 else math.inf
        if not low < inverse < high:
            inverse = (low + high) / 2
        if abs(inverse - before) <= _CLOSE * before:
            break
    return 1 / inverse


def _slope(outputs: Tensor, targets: Tensor, inverse: float) -> tuple[float, float]:
    """How the mean cross-entropy changes with the inverse temperature, and how that does: the mean over images of what
    their logits are expected to be less that of their class, and of the variance of their logits."""
    slope = bend = 0.0
    for some, classes in in_parts(outputs, targets):
        logits = some.double()
        shares = (logits * inverse).softmax(1)
        expected = (shares * logits).sum(1)
        slope += float((expected - logits.gather(1, classes[:, None])[:, 0]).sum())
        bend += float((shares * (logits - expected[:, None]).square()).sum())
    return slope / len(targets), bend / len(targets)


def in_parts(outputs: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Logits [N, C], and what else is known of each image, of some images at a time: so what is computed of many images
    times many classes needs little memory."""
    rows = max(1, _TOGETHER // outputs.shape[1])
    return zip(*(torch.split(each, rows) for each in (outputs, *others)), strict=True)


def likeliest(outputs: Tensor, temperature: float) -> Tensor:
    """How likely the likeliest class of each image is [N], of its logits [N, C]."""
    return torch.cat([shares_of(some, temperature).amax(1) for (some,) in in_parts(outputs)])


def shares_of(outputs: Tensor, temperature: float) -> Tensor:
    """How likely each image is of each class [N, C], of its logits.

    The class of the largest logit, which is the answer, is the likeliest alone, also where rounding makes the
    probabilities of two classes equal.
    """
    shares = (outputs / temperature).softmax(1)
    answer = outputs.argmax(1, keepdim=True)
    tied = shares.argmax(1, keepdim=True) != answer
    largest = shares.gather(1, answer)
    return shares.scatter(1, answer, torch.where(tied, torch.nextafter(largest, torch.ones_like(largest)), largest))
