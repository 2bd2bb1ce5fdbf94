"""A rate is read off a curve of losses where there is one to be read, and no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ft.insight.learning_rates import RateCurve, read_curve, smoothed

RATES = [10 ** (-7 + 8 * step / 99) for step in range(100)]


def valley(middle: float = 1e-3, noise: float = 0.0, seed: int = 0) -> RateCurve:
    """A loss that falls from 1 to 0.3, fastest at `middle`, and rises steeply from a hundred times that on."""
    draw, losses = np.random.default_rng(seed), []
    for rate in RATES:
        at = math.log10(rate / middle)
        losses.append(0.3 + 0.7 / (1 + 10 ** (2 * at)) + max(0.0, at - 2) ** 2 + noise * draw.normal())
    return read_curve(RATES, losses)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("middle", [1e-4, 1e-3, 1e-2])
def test_the_steepest_fall_and_the_lowest_loss_are_found_under_noise(middle: float, noise: float) -> None:
    found = valley(middle, noise)
    assert found.steepest is not None
    assert found.lowest is not None
    assert found.suggested is not None
    assert abs(math.log10(found.steepest / middle)) < 0.4
    assert 1 < math.log10(found.lowest / middle) < 2.5
    assert found.suggested == pytest.approx(min(found.steepest, found.lowest / 10), rel=0.05)
    assert "is smaller" in found.why


def test_one_loss_beyond_all_measure_moves_nothing() -> None:
    rates, losses = list(valley().rates), list(valley().losses)
    before = read_curve(rates, losses)
    after = read_curve(rates, [*losses[:-1], 1e30])
    assert (after.steepest, after.lowest, after.suggested) == (before.steepest, before.lowest, before.suggested)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_where_the_loss_does_not_fall_nothing_is_suggested(noise: float) -> None:
    draw = np.random.default_rng(1)
    losses = [1 + noise * draw.normal() + (step > 80) * (step - 80) * 0.3 for step in range(100)]
    found = read_curve(RATES, losses)
    assert (found.suggested, found.steepest, found.lowest) == (None, None, None)
    assert "does not clearly fall" in found.why


def test_few_losses_are_no_curve() -> None:
    assert read_curve(RATES[:5], [5.0, 4.0, 3.0, 2.0, 1.0]).why == "5 losses are too few to read a curve"


def test_a_line_is_its_own_smooth_curve() -> None:
    places = np.linspace(-3, 1, 30)
    curve, slopes = smoothed(places, 2 - 3 * places)
    np.testing.assert_allclose(curve, 2 - 3 * places)
    np.testing.assert_allclose(slopes, -3)
