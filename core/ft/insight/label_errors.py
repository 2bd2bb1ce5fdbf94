"""Labels that may be wrong, by confident learning (Northcutt, Jiang & Chuang 2021, "Confident learning: estimating
uncertainty in dataset labels", Journal of Artificial Intelligence Research 70, section 3).

It needs probabilities that come from models which did not see the image, and compares each with what is usual for its
class, so that a class of which a model is never sure is not all suspected.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Suspect:
    """An image whose label may be wrong: its place, the class it is said to be and the one it may be, by number, and
    the normalised margin: the probability of its label less that of the likeliest other class, -1 to 1, the lowest
    where a mistake is likeliest."""

    place: int
    given: int
    suggested: int
    margin: float


def thresholds(probabilities: Tensor, labels: Tensor) -> Tensor:
    """How sure a model is of each class [C] on average where the label says so (equation 2); 2, which no probability
    reaches, of a class that no label says."""
    classes = probabilities.shape[1]
    own = probabilities.gather(1, labels[:, None])[:, 0]
    sums = torch.zeros(classes, dtype=probabilities.dtype).index_add_(0, labels, own)
    counts = torch.bincount(labels, minlength=classes)
    return torch.where(counts > 0, sums / counts.clamp(min=1), 2.0)


def confident_classes(probabilities: Tensor, limits: Tensor) -> Tensor:
    """The class [N] of each image that reaches its threshold, the likeliest where several do; -1 where none does."""
    reached = probabilities >= limits
    likeliest = torch.where(reached, probabilities, -1.0).argmax(1)
    return torch.where(reached.any(1), likeliest, -1)


def confident_joint(probabilities: Tensor, labels: Tensor) -> Tensor:
    """How many images [C, C] with each label (row) are with confidence of each class (column), equation 1."""
    classes = probabilities.shape[1]
    found = confident_classes(probabilities, thresholds(probabilities, labels))
    sure = found >= 0
    counts = torch.bincount(labels[sure] * classes + found[sure], minlength=classes * classes)
    return counts.view(classes, classes)


def margins(probabilities: Tensor, labels: Tensor) -> Tensor:
    """The probability of each image's label less that of the likeliest other class [N] (section 3.2)."""
    own = probabilities.gather(1, labels[:, None])
    others = probabilities.scatter(1, labels[:, None], -1.0)
    return own[:, 0] - others.amax(1)


def find_suspects(probabilities: Tensor, labels: Tensor) -> tuple[Suspect, ...]:
    """The images that the confident joint counts off its diagonal, the likeliest mistake first.

    `probabilities` [N, C] are of models that did not see the image, `labels` [N] are numbers of classes. Where the
    class found with confidence is not the likeliest, being merely surer than usual, the label is left alone if it is
    the likeliest.
    """
    found = confident_classes(probabilities, thresholds(probabilities, labels))
    far = margins(probabilities, labels)
    off = (found >= 0) & (found != labels) & (far < 0)
    suspects = [
        Suspect(place, int(labels[place]), int(found[place]), float(far[place]))
        for place in torch.nonzero(off).flatten().tolist()
    ]
    return tuple(sorted(suspects, key=lambda each: (each.margin, each.place)))
