"""A linear head fitted to all images at once, by full-batch L-BFGS (Liu & Nocedal 1989) in preconditioned coordinates.

The objective is a convex loss of the outputs, as of multinomial logistic regression, plus half the penalty times the
squared norm of the weight; the bias goes free. L-BFGS needs as many iterations as the curvature differs between
directions, and on features of a network it differs by many orders of magnitude. So it works on V = W L, where LLᵀ
(Cholesky) approximates the Hessian where it starts, and starts again from there, with a new L, as long as it has not
arrived: a change of variables does not move the minimum. The Hessian of the loss is a sum over images of a C x C block
times an outer product of features (Böhning 1992, "Multinomial logistic regression algorithm", section 2); the block is
replaced by its mean eigenvalue, so one L serves all classes. With two classes that is exact.

All of it in float64: float32 stalls before a millionth of the optimum where the penalty is small.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from ft.extension.tasks import SolvableLoss

MOST_ITERATIONS = 1000
NEAR = 1e-7
"""How far above its minimum, relative to it, the objective may be."""
FIRST_STAGE = 30
"""Iterations with the first L; with each further one twice as many as with the one before."""
Minimiser = Callable[[list[dict[str, Any]]], Any]
"""From a param group, with the most iterations and a tolerance, to a torch.optim.Optimizer whose `step` minimises."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What all fits share: `design` [N, R] in float64, `targets` [N, ...] and the loss.

    `design` holds the features less their `mean` [D], and a last column of ones where there is a bias. Where there are
    fewer images than features, the features are coordinates in `basis` [D, N] of the space that they span: the minimum
    lies there, as whatever is orthogonal to all features costs penalty and changes no logit.
    """

    design: torch.Tensor
    targets: torch.Tensor
    loss: SolvableLoss
    mean: torch.Tensor
    basis: torch.Tensor | None
    has_bias: bool


@dataclass(frozen=True, eq=False)
class Fit:
    """The loss without the penalty, the outputs of all images [N, K], and whether a minimum was reached."""

    loss: float
    outputs: torch.Tensor
    iterations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _Stage:
    """What L-BFGS is started with: the preconditioner `lower` [R, R], at most how many iterations, and how small
    every derivative becomes where it ends."""

    lower: torch.Tensor
    most: int
    tolerance: float


def make_regression(
    inputs: torch.Tensor, targets: torch.Tensor, loss: SolvableLoss, has_bias: bool = True
) -> Regression:
    """Prepare `inputs` [N, D], which must be finite, and `targets` [N, ...] for any number of fits."""
    n, width = inputs.shape
    device = torch.device("cpu") if inputs.device.type == "mps" else inputs.device  # MPS has no float64
    features = inputs.to(device).to(torch.float64, copy=True)
    mean = features.mean(0) if has_bias else features.new_zeros(width)
    features -= mean
    features *= features.abs().amax(0) > 1e-12 * mean.abs()  # what is left of a constant is rounding
    basis = None
    if n < width:
        basis, triangle = torch.linalg.qr(features.t())
        features = triangle.t() * (triangle.abs().amax(1) > 1e-12 * triangle.abs().max())
    if has_bias:
        features = torch.cat([features, features.new_ones(n, 1)], dim=1)
    return Regression(features, targets.to(device), loss, mean, basis, has_bias)


def fit_head(
    head: nn.Linear,
    regression: Regression,
    penalty: float,
    check: Callable[[], None] = lambda: None,
    tolerance: float = 1e-6,
    *,
    minimiser: Minimiser,
) -> Fit:
    """Minimise the objective over the head, starting from its values.

    It has converged when no derivative by a preconditioned coordinate exceeds `tolerance`, in coordinates that are made
    for the minimum, or when these are small and further iterations lead nowhere. `check` is called at every evaluation
    of the objective, and what it raises leaves the head as it was.
    """
    ridge = regression.design.new_full((regression.design.shape[1],), penalty)
    if regression.has_bias:
        ridge[-1] = 0

    def objective(position: torch.Tensor) -> torch.Tensor:
        outputs = linear(regression.design, position)
        return regression.loss(outputs, regression.targets) + 0.5 * (ridge * position.square()).sum()

    position, iterations, before = _position_of(head, regression), 0, float("inf")
    for stage in itertools.count():
        most = min(FIRST_STAGE * 2**stage, MOST_ITERATIONS - iterations)
        lower = _preconditioner(position, regression, ridge, torch.float32 if stage == 0 else torch.float64)
        before_it = _curvature(position, regression)
        position, used, value, gradient = _minimised(
            objective, position, _Stage(lower, most, tolerance), check, minimiser
        )
        iterations, slope = iterations + used, float(gradient.abs().max())
        excess = _excess(gradient, lower, before_it, _curvature(position, regression), ridge)
        rests = slope <= 10 * tolerance and before - value <= NEAR * value
        arrived = rests or (slope <= tolerance and excess <= NEAR * value)
        if arrived or iterations >= MOST_ITERATIONS or not value < before:
            break
        before = value
    _put(position, head, regression)
    outputs = linear(regression.design, position)
    loss = float(regression.loss(outputs, regression.targets))
    return Fit(loss, outputs, iterations, rests or slope <= tolerance)


def _minimised(
    objective: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    stage: _Stage,
    check: Callable[[], None],
    minimiser: Minimiser,
) -> tuple[torch.Tensor, int, float, torch.Tensor]:
    """Return where a stage leads, how many iterations it took, and objective and derivatives there."""
    lower = stage.lower
    scaled = (start @ lower).requires_grad_()
    optimizer = minimiser([{"params": [scaled], "max_iter": stage.most, "tolerance_grad": stage.tolerance}])

    def position() -> torch.Tensor:
        solved: torch.Tensor = torch.linalg.solve_triangular(lower.t(), scaled.t(), upper=True)
        return solved.t()

    def closure() -> torch.Tensor:
        check()
        optimizer.zero_grad()
        total = objective(position())
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)
    value = closure().item()  # the gradient that the optimizer leaves may be that of a point it tried
    assert scaled.grad is not None
    return position().detach(), int(optimizer.state[scaled]["n_iter"]), value, scaled.grad


def _excess(
    gradient: torch.Tensor, lower: torch.Tensor, before: torch.Tensor, now: torch.Tensor, ridge: torch.Tensor
) -> float:
    """How far above its minimum the objective is at most, going by its `gradient` [C, R] in coordinates that `lower` is
    made for: those of where images had the curvature `before` [N, 1], of which by `now` less may be left.

    The lesser of two bounds: the Hessian has become flatter by no more than the most that it has for any image, as
    where classes can be told apart; and it is nowhere flatter than the ridge, nor, along the bias, than all images.
    """
    flatter = float((before / now).max().clamp(min=1))
    least = torch.where(ridge > 0, ridge, now.sum())
    return 0.5 * min(flatter * float(gradient.square().sum()), float(((gradient @ lower.t()).square() / least).sum()))


def _preconditioner(
    position: torch.Tensor, regression: Regression, ridge: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The lower triangular L [R, R] with LLᵀ close to each class's block of the Hessian at `position` [C, R].

    The products are computed in `dtype`. What rounding does to them, which could make eigenvalues negative, is made up
    for on the diagonal.
    """
    factors = (regression.design * _curvature(position, regression).sqrt()).to(dtype)
    hessian = (factors.t() @ factors).double() + torch.diag(ridge)
    scale = regression.design.square().mean(0)
    scale = torch.where(scale > 0, scale, 1)
    jitter = torch.finfo(dtype).eps
    while True:
        lower, failed = torch.linalg.cholesky_ex(hessian + torch.diag(jitter * scale))
        if not failed or jitter > 1:
            assert isinstance(lower, torch.Tensor)
            return lower
        jitter *= 100


def _curvature(position: torch.Tensor, regression: Regression) -> torch.Tensor:
    """Each image's curvature [N, 1], as the loss tells it."""
    return regression.loss.curvature(linear(regression.design, position), regression.targets)[:, None]


@torch.no_grad()
def _position_of(head: nn.Linear, regression: Regression) -> torch.Tensor:
    """The head's values as a position [K, R]. Where what they have in common for all outputs changes no loss, it
    goes."""
    device = regression.design.device
    weight = head.weight.to(device).double()
    bias = None if head.bias is None else head.bias.to(device).double() + weight @ regression.mean
    if regression.loss.shift_invariant:
        weight = weight - weight.mean(0)
    if regression.basis is not None:
        weight = weight @ regression.basis
    return weight if bias is None else torch.cat([weight, bias[:, None]], dim=1)


@torch.no_grad()
def _put(position: torch.Tensor, head: nn.Linear, regression: Regression) -> None:
    weight = position[:, :-1] if regression.has_bias else position
    if regression.basis is not None:
        weight = weight @ regression.basis.t()
    head.weight.copy_(weight.to(head.weight.dtype))
    if regression.has_bias:
        rounded = head.weight.to(position.device).double()
        head.bias.copy_((position[:, -1] - rounded @ regression.mean).to(head.bias.dtype))
