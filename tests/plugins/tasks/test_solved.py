"""A linear head that is solved for is that of scikit-learn's linear models, by the same objective."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from ft import LabelSpace
from ft.training.logistic import Fit, fit_head, make_regression
from ft_optim.lbfgs import LBFGSSettings, build
from ft_tasks import multilabel_loss, regression_loss
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.regression import RegressionSettings

IMAGES, WIDTH, OUTPUTS = 60, 5, 2


def features() -> Tensor:
    """Directions differ in scale by a thousand."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(IMAGES, WIDTH, generator=draw) * torch.logspace(0, -3, WIDTH) + 0.5


def wanted() -> Tensor:
    draw = torch.Generator().manual_seed(1)
    given = features()
    return (given / given.std(0)) @ torch.randn(WIDTH, OUTPUTS, generator=draw) + torch.randn(
        IMAGES, OUTPUTS, generator=draw
    )


def fitted(loss: Any, targets: Tensor, penalty: float) -> tuple[Tensor, Fit]:
    """What the head says of the images, and how it was found."""
    head = nn.Linear(WIDTH, OUTPUTS)
    minimiser = partial(build, settings=LBFGSSettings())
    fit = fit_head(head, make_regression(features(), targets, loss), penalty, minimiser=minimiser)
    return head(features()).detach().double(), fit


@pytest.mark.parametrize("penalty", [1e-1, 1e-4])
def test_the_squared_loss_gives_ridge_regression_in_few_steps(penalty: float) -> None:
    targets = wanted()
    loss = regression_loss.make_loss(LabelSpace(("a", "b")), RegressionSettings(loss="squared"))
    outputs, fit = fitted(loss, targets, penalty)
    ridge = Ridge(alpha=penalty * IMAGES * OUTPUTS).fit(features().double(), targets.double())
    assert torch.allclose(outputs, torch.from_numpy(ridge.predict(features().double())), atol=1e-4)
    assert fit.converged
    assert fit.iterations <= 10, "the objective is a parabola, and its bend is known"


@pytest.mark.parametrize("penalty", [1e-2, 1e-5])
def test_binary_cross_entropy_gives_a_logistic_regression_for_each_label(penalty: float) -> None:
    targets = (wanted() > wanted().median(0).values).float()
    targets[::7, 0] = math.nan
    loss = multilabel_loss.make_loss(LabelSpace(("a", "b")), MultilabelSettings(), targets)
    outputs, fit = fitted(loss, targets, penalty)
    assert fit.converged
    for place, label in enumerate(targets.t()):
        known = ~label.isnan()
        count = int((~targets.isnan()).sum())
        model = LogisticRegression(C=1 / (penalty * count), tol=1e-10, max_iter=10_000, solver="newton-cholesky")
        model.fit(features()[known].double(), label[known])
        expected = torch.from_numpy(model.decision_function(features().double()))
        assert torch.allclose(outputs[:, place], expected, atol=2e-3, rtol=1e-3)


def test_hubers_loss_with_wild_numbers_arrives() -> None:
    targets = wanted()
    targets[::9] += 100
    loss = regression_loss.make_loss(LabelSpace(("a", "b")), RegressionSettings())
    outputs, fit = fitted(loss, targets, 1e-4)
    assert fit.converged
    weight = nn.Parameter(torch.zeros(OUTPUTS, WIDTH + 1, dtype=torch.float64))
    design = torch.cat([features().double(), torch.ones(IMAGES, 1, dtype=torch.float64)], dim=1)
    scale = torch.cat([features().std(0).double(), torch.ones(1, dtype=torch.float64)])

    def objective() -> Tensor:
        position = weight / scale
        return loss(design @ position.t(), targets) + 0.5e-4 * position[:, :-1].square().sum()

    other = torch.optim.LBFGS([weight], max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        other.zero_grad()
        value = objective()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    other.step(closure)
    assert torch.allclose(outputs, (design @ (weight / scale).t()).detach(), atol=1e-2)
