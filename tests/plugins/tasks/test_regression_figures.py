"""regression: every figure is scikit-learn's, in the unit of the targets; the loss, its slope and its bend"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings as limits, strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor

from ft import LabelSpace
from ft_tasks.regression import RegressionSettings
from ft_tasks.regression_figures import RegressionMeter
from ft_tasks.regression_loss import make_loss, tally

HUBER, SQUARED = RegressionSettings(), RegressionSettings(loss="squared")
SPACE = LabelSpace(("width", "age"), numbers={"mean": (-3.0, 1000.0), "std": (0.01, 250.0)})
few = limits(max_examples=20, deadline=None)
Answered = tuple[Tensor, Tensor]


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    """Standardised outputs and targets [N, 2], some targets of which are all the same."""
    numbers = st.sampled_from([-1.5, -0.25, 0.0, 0.125, 0.7, 2.0])
    rows = st.lists(st.tuples(numbers, numbers), min_size=(count := draw(st.integers(2, 10))), max_size=count)
    return torch.tensor(draw(rows)), torch.tensor(draw(rows))


def measured(answered: Answered, settings: RegressionSettings = HUBER) -> RegressionMeter:
    meter = RegressionMeter(SPACE, settings)
    meter.add(*answered)
    return meter


@few
@given(answers())
def test_every_figure_is_that_of_scikit_learn_in_the_targets_unit(answered: Answered) -> None:
    mean, deviation = (np.array(SPACE.numbers[name]) for name in ("mean", "std"))
    outputs, targets = (each.double().numpy() * deviation + mean for each in answered)
    meter = measured(answered)
    figures = meter.figures()
    assert figures["mae"] == pytest.approx(mean_absolute_error(targets, outputs))
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(targets, outputs))
    standardised = [each.double().numpy() for each in answered]  # in which equal numbers stay equal
    assert figures["r2"] == pytest.approx(r2_score(standardised[1], standardised[0]))
    for place, row in enumerate(meter.tables()[0].rows):
        assert row["target"] == SPACE.names[place]
        assert row["mae"] == pytest.approx(mean_absolute_error(targets[:, place], outputs[:, place]))
        assert row["rmse"] == pytest.approx(root_mean_squared_error(targets[:, place], outputs[:, place]))
        assert row["r2"] == pytest.approx(r2_score(standardised[1][:, place], standardised[0][:, place]))
        assert row["mean"] == pytest.approx(targets[:, place].mean())
        assert row["deviation"] == pytest.approx(targets[:, place].std(), abs=1e-9)


@few
@given(answers(), st.integers(0, 10))
def test_meters_that_are_merged_equal_one(answered: Answered, at: int) -> None:
    first, second = (measured((answered[0][part], answered[1][part])) for part in (slice(at), slice(at, None)))
    first.merge(second)
    assert first.figures() == measured(answered).figures()
    assert first.tables() == measured(answered).tables()


def test_a_meter_that_took_nothing_says_zero() -> None:
    meter = RegressionMeter(SPACE, HUBER)
    assert set(meter.figures().values()) == {0}
    assert len(meter.tables()[0].rows) == 2


def test_the_loss_is_that_of_the_settings_in_standard_deviations() -> None:
    outputs, targets = torch.tensor([[0.5, 3.0]]), torch.zeros(1, 2)
    assert measured((outputs, targets), SQUARED).figures()["loss"] == pytest.approx((0.125 + 4.5) / 2)
    assert measured((outputs, targets)).figures()["loss"] == pytest.approx((0.125 + 2.5) / 2)
    wide = RegressionSettings(delta=2)
    assert measured((outputs, targets), wide).figures()["loss"] == pytest.approx((0.125 + 4) / 2)


def test_parts_of_a_batch_add_up_by_their_weights() -> None:
    outputs, targets = torch.randn(5, 2), torch.randn(5, 2)
    loss = make_loss(SPACE, HUBER)
    parts = [(outputs[:2], targets[:2]), (outputs[2:], targets[2:])]
    total = sum(loss(*part) * loss.weight(part[1]) for part in parts)
    assert torch.allclose(total / loss.weight(targets), loss(outputs, targets))


def test_the_curvature_of_the_squared_loss_is_its_own() -> None:
    outputs, targets = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 2)
    loss = make_loss(SPACE, SQUARED)
    hessian = torch.autograd.functional.hessian(lambda each: loss(each, targets), outputs).reshape(8, 8)
    assert torch.allclose(hessian.diagonal().reshape(4, 2).mean(1), loss.curvature(outputs, targets))


def test_the_curvature_of_hubers_loss_falls_beyond_delta_and_is_never_zero() -> None:
    outputs = torch.tensor([[0.5, 0.5], [0.5, 4.0], [1e12, 1e12]], dtype=torch.float64)
    curvature = make_loss(SPACE, HUBER).curvature(outputs, torch.zeros(3, 2))
    assert curvature[:2].tolist() == pytest.approx([1 / 6, (1 + 0.25) / 12])
    assert curvature[2] > 0


def test_the_tally_is_the_error_in_the_targets_unit() -> None:
    outputs, targets = torch.tensor([[1.0, 0.0], [0.0, -2.0]]), torch.zeros(2, 2)
    assert tally(outputs, targets, SPACE, HUBER).tolist() == pytest.approx([0.005, 250])
