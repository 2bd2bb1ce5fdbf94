from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from ft.training import logistic
from ft.training.logistic import Fit, fit_head, make_regression
from ft_optim.lbfgs import LBFGSSettings, build as build_lbfgs
from ft_tasks.cross_entropy import CrossEntropy

MINIMISER = partial(build_lbfgs, settings=LBFGSSettings())

Change = Callable[[torch.Tensor], torch.Tensor]
PLAIN = CrossEntropy(None, 0.0)


def examples(n: int, width: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, width] whose directions differ in scale by a thousand, and noisy labels; every class occurs."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, width, generator=draw) * torch.logspace(0, -3, width) + torch.rand(width, generator=draw)
    logits = inputs @ torch.randn(width, classes, generator=draw) + torch.randn(n, classes, generator=draw)
    labels = logits.argmax(1)
    labels[:classes] = torch.arange(classes)
    return inputs, labels


def linear(width: int, classes: int, scale: float = 0.0, bias: bool = True) -> nn.Linear:
    head = nn.Linear(width, classes, bias=bias)
    with torch.no_grad():
        for tensor in head.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)) * scale)
    return head


class Objective:
    """The objective in plain float64, as a function of all weights and biases in one vector."""

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor, penalty: float, criterion: CrossEntropy) -> None:
        self.inputs, self.labels, self.penalty = inputs.double(), labels, penalty
        weights = criterion.class_weights
        self.class_weights = None if weights is None else weights.double()
        self.smoothing = criterion.label_smoothing

    def __call__(self, vector: torch.Tensor) -> torch.Tensor:
        width = self.inputs.shape[1]
        table = vector.view(-1, width + 1)
        logits = self.inputs @ table[:, :width].t() + table[:, width]
        loss = cross_entropy(logits, self.labels, self.class_weights, label_smoothing=self.smoothing)
        return loss + 0.5 * self.penalty * table[:, :width].square().sum()

    def of(self, head: nn.Linear) -> float:
        bias = torch.zeros(head.out_features) if head.bias is None else head.bias
        return float(self(torch.cat([head.weight, bias[:, None]], dim=1).detach().double().flatten()))

    def minimum(self, classes: int) -> float:
        """By Newton's method with whole Hessians and halved steps, which has nothing in common with L-BFGS."""
        vector = torch.zeros(classes * (self.inputs.shape[1] + 1), dtype=torch.float64)
        for _ in range(200):
            variable = vector.clone().requires_grad_()
            value = self(variable)
            (slope,) = torch.autograd.grad(value, variable)
            hessian = torch.autograd.functional.hessian(self, vector)
            step = torch.linalg.pinv(hessian, hermitian=True, rtol=1e-14) @ slope
            if float(step @ slope) < 1e-14:
                break
            size = 1.0
            while self(vector - size * step) > value - 0.1 * size * (step @ slope) and size > 1e-10:
                size /= 2
            vector = vector - size * step
        return float(self(vector))


@pytest.mark.slow
@settings(max_examples=25)
@example(n=6, width=1, classes=2, seed=37, penalty=1e-6, smoothing=0.0, weighted=False, start=0.0)
@example(n=18, width=3, classes=4, seed=805, penalty=1e-6, smoothing=0.0, weighted=False, start=0.0)
@example(n=11, width=11, classes=4, seed=159, penalty=1e-6, smoothing=0.0, weighted=False, start=100.0)
@given(
    n=st.integers(6, 60),
    width=st.integers(1, 12),
    classes=st.integers(2, 4),
    seed=st.integers(0, 999),
    penalty=st.sampled_from([10.0, 1e-1, 1e-2, 1e-4, 1e-6]),
    smoothing=st.sampled_from([0.0, 0.1]),
    weighted=st.booleans(),
    start=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_a_fit_is_the_minimum_that_newtons_method_finds(
    n: int, width: int, classes: int, seed: int, penalty: float, smoothing: float, weighted: bool, start: float
) -> None:
    inputs, labels = examples(n, width, classes, seed)
    criterion = CrossEntropy(torch.linspace(0.2, 3, classes) if weighted else None, smoothing)
    head = linear(width, classes, start)
    fit = fit_head(head, make_regression(inputs, labels, criterion), penalty, minimiser=MINIMISER)
    objective = Objective(inputs, labels, penalty, criterion)
    assert fit.converged
    assert objective.of(head) <= objective.minimum(classes) * (1 + 1e-6)


@pytest.mark.parametrize("penalty", [1e-1, 1e-6])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1e4,
        lambda x: x * 1e-4,
        lambda x: x * torch.logspace(-3, 3, x.shape[1]),
        lambda x: torch.cat([x, torch.full((len(x), 2), 1e4), torch.zeros(len(x), 1)], dim=1),
        lambda x: torch.cat([x, x], dim=1),
        lambda x: x[:4].repeat(13, 1)[: len(x)],
    ],
    ids=["huge", "tiny", "scales apart", "constant columns", "columns twice", "images again and again"],
)
def test_a_fit_is_the_minimum_whatever_the_features_are(change: Change, penalty: float) -> None:
    inputs, labels = examples(50, 8, 3)
    inputs = change(inputs)
    head = linear(inputs.shape[1], 3)
    fit_head(head, make_regression(inputs, labels, PLAIN), penalty, minimiser=MINIMISER)
    objective = Objective(inputs, labels, penalty, PLAIN)
    assert objective.of(head) <= objective.minimum(3) * (1 + 1e-6)


def test_without_a_penalty_the_fit_is_that_of_maximum_likelihood() -> None:
    inputs, labels = examples(60, 3, 2)
    labels[::5] = 1 - labels[::5]
    head = linear(3, 2)
    fit = fit_head(head, make_regression(inputs, labels, PLAIN), 0.0, minimiser=MINIMISER)
    objective = Objective(inputs, labels, 0.0, PLAIN)
    assert fit.converged
    assert objective.of(head) <= objective.minimum(2) * (1 + 1e-6)


@pytest.mark.parametrize("n", [10, 40])
def test_without_a_penalty_classes_that_can_be_told_apart_are(n: int) -> None:
    inputs, labels = examples(n, 20, 2)
    inputs[:, 0] = labels * 2.0
    head = linear(20, 2)
    fit = fit_head(head, make_regression(inputs, labels, PLAIN), 0.0, minimiser=MINIMISER)
    assert int((fit.outputs.argmax(1) == labels).sum()) == n
    assert all(bool(tensor.isfinite().all()) for tensor in head.parameters())
    assert bool((head(inputs).argmax(1) == labels).all())


def test_a_head_without_a_bias_is_fitted_without_one() -> None:
    inputs, labels = examples(40, 5, 3)
    head = linear(5, 3, bias=False)
    fit_head(head, make_regression(inputs, labels, PLAIN, has_bias=False), 1e-2, minimiser=MINIMISER)
    weight = head.weight.detach().double().requires_grad_()
    loss = cross_entropy(inputs.double() @ weight.t(), labels) + 0.5e-2 * weight.square().sum()
    (slope,) = torch.autograd.grad(loss, weight)
    assert float(slope.abs().max()) < 1e-5


def test_a_fit_says_its_loss_and_how_many_answers_are_right() -> None:
    inputs, labels = examples(40, 5, 3)
    head = linear(5, 3)
    fit = fit_head(head, make_regression(inputs, labels, PLAIN), 1e-2, minimiser=MINIMISER)
    logits = head(inputs)
    assert fit.loss == pytest.approx(float(cross_entropy(logits, labels).detach()), rel=1e-5)
    assert torch.equal(fit.outputs.argmax(1), logits.argmax(1))


def test_what_check_raises_ends_a_fit_and_leaves_the_head_as_it_was() -> None:
    inputs, labels = examples(40, 5, 3)
    head = linear(5, 3, scale=1.0)
    before = [tensor.detach().clone() for tensor in head.parameters()]
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_head(head, make_regression(inputs, labels, PLAIN), 1e-4, check, minimiser=MINIMISER)
    assert all(torch.equal(one, other) for one, other in zip(before, head.parameters(), strict=True))


def test_a_fit_that_runs_out_of_iterations_has_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "MOST_ITERATIONS", 3)
    inputs, labels = examples(40, 5, 3)
    fit = fit_head(linear(5, 3), make_regression(inputs, labels, PLAIN), 1e-6, minimiser=MINIMISER)
    assert isinstance(fit, Fit)
    assert (fit.iterations, fit.converged) == (3, False)
