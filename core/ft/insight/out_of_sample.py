"""What a linear head says of each image when it was fitted to others: K-fold cross-validation on kept features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ft.extension.tasks import SolvableLoss
from ft.training.logistic import Minimiser, Regression, fit_head, make_regression

TOLERANCE = 1e-4
"""Derivatives at which a fit is done: its answers are compared with each other, and nobody keeps the head."""


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """The outputs [N, K] of heads that did not see the image, the mean loss of these, and the penalty by which they
    were fitted."""

    outputs: Tensor
    loss: float
    penalty: float


@dataclass(frozen=True, eq=False)
class Solver:
    """How heads of so many `outputs` are fitted: the loss, made of the targets of the images that a head sees; what
    minimises it; and the penalties to choose from, the strongest first."""

    outputs: int
    make_loss: Callable[[Tensor], SolvableLoss]
    minimiser: Minimiser
    penalties: Sequence[float]


@dataclass(frozen=True, eq=False)
class _Fold:
    """The places of the images that are left out, their features, and the head that is fitted to the others."""

    places: Tensor
    features: Tensor
    regression: Regression
    head: nn.Linear


def answer_out_of_sample(
    features: Tensor, targets: Tensor, folds: Tensor, solver: Solver, tell: Callable[[int], None] = lambda _: None
) -> OutOfSample:
    """Fit a linear head to all folds but one, for each, and ask it about the images of that one.

    `features` are [N, D], `targets` [N, ...], `folds` [N] numbers of folds. The strongest penalty is tried first, each
    fit starting from the one before, until the loss of the images that were left out rises; the outputs are those of
    the best. `tell` hears after each fit how many are done; what it raises ends the work.
    """
    each_fold = list(_folds(features, targets, folds, solver))
    whole, done = solver.make_loss(targets), 0
    best: OutOfSample | None = None
    for penalty in solver.penalties:
        outputs = torch.zeros(len(features), solver.outputs, dtype=torch.float64)
        for fold in each_fold:
            fit_head(fold.head, fold.regression, penalty, tolerance=TOLERANCE, minimiser=solver.minimiser)
            with torch.no_grad():
                outputs[fold.places] = fold.head(fold.features)
            tell(done := done + 1)
        loss = float(whole(outputs, targets))
        if best is not None and not loss < best.loss:
            break
        best = OutOfSample(outputs, loss, penalty)
    assert best is not None, "a solver has a penalty or more"
    return best


def _folds(features: Tensor, targets: Tensor, folds: Tensor, solver: Solver) -> Iterator[_Fold]:
    features = features.double()
    for number in sorted(set(folds.tolist())):
        out = folds == number
        seen = targets[~out]
        head = nn.Linear(features.shape[1], solver.outputs, dtype=torch.float64)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        regression = make_regression(features[~out], seen, solver.make_loss(seen))
        yield _Fold(torch.nonzero(out).flatten(), features[out], regression, head)
