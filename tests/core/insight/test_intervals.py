"""Intervals and p-values, beside SciPy's and what is known of them."""

from __future__ import annotations

import math
import time

import pytest
import torch
from hypothesis import given, strategies as st
from scipy.stats import binomtest
from torch import Tensor

from ft.insight.intervals import FEWEST, MOST, WORK, bootstrap, mcnemar, wilson


@pytest.fixture(autouse=True)
def _as_many_resamples_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft.insight.intervals.MOST", MOST)  # tests/conftest.py lowers it


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilsons_interval_is_scipys(images: int, share: float, level: float) -> None:
    hits = round(share * images)
    wanted = binomtest(hits, images).proportion_ci(level, method="wilson")
    found = wilson(hits, images, level)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert 0 <= found.low <= hits / images <= found.high <= 1


def test_a_share_of_no_image_may_be_anything() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_the_bootstrap_of_a_mean_is_about_as_wide_as_its_standard_error_says() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(3))

    found = bootstrap(lambda places: float(values[places].mean()), len(values))

    assert found is not None
    reach = 1.96 * float(values.std()) / math.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx(
        (float(values.mean()) - reach, float(values.mean()) + reach), abs=reach / 5
    )


def test_a_seed_makes_an_interval_again_and_another_one_another() -> None:
    values = torch.arange(50.0)

    def mean(places: Tensor) -> float:
        return float(values[places].mean())

    assert bootstrap(mean, 50) == bootstrap(mean, 50)
    assert bootstrap(mean, 50) != bootstrap(mean, 50, seed=1)


def test_a_bootstrap_over_fewer_images_than_there_are_is_as_wide_as_one_over_all() -> None:
    values = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    drawn: list[int] = []

    def mean(places: Tensor) -> float:
        drawn.append(len(places))
        return float(values[places].mean())

    outputs = 100
    found = bootstrap(mean, len(values), outputs)

    assert found is not None
    assert max(drawn[1:]) * outputs * FEWEST <= WORK
    reach = 1.96 / math.sqrt(len(values))
    assert found.high - found.low == pytest.approx(2 * reach, rel=0.25)
    assert found.low < float(values.mean()) < found.high


@pytest.mark.parametrize(("images", "outputs"), [(9, 1), (656, 2), (50_000, 1), (50_000, 1000)])
def test_a_bootstrap_looks_at_no_more_than_it_may(images: int, outputs: int) -> None:
    drawn: list[int] = []

    def figure(places: Tensor) -> float:
        drawn.append(len(places))
        return 0.5

    started = time.perf_counter()
    bootstrap(figure, images, outputs)
    assert sum(drawn[1:]) * outputs <= WORK
    assert FEWEST <= len(drawn) - 1 <= MOST
    assert time.perf_counter() - started < 10


def test_images_that_are_all_alike_tell_nothing_of_others() -> None:
    assert bootstrap(lambda places: 1.0, 20) is None
    values = torch.cat([torch.ones(19), torch.zeros(1)])
    assert bootstrap(lambda places: float(values[places].mean()), 20) is not None


def test_of_few_images_each_resample_is_measured_once_and_the_interval_is_the_same() -> None:
    values, measured = torch.tensor([0.1, 0.5, 0.7, 2.0]), []

    def mean(places: Tensor) -> float:
        measured.append(tuple(places.tolist()))
        return float(values[places].mean())

    found = bootstrap(mean, len(values))
    assert len(set(measured[1:])) == len(measured[1:]) <= math.comb(2 * 4 - 1, 4)
    generator = torch.Generator().manual_seed(0)
    means = values[torch.stack([torch.randint(4, (4,), generator=generator) for _ in range(MOST)])].mean(1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(torch.quantile(means, torch.tensor([0.025, 0.975])).tolist())


def test_there_is_no_interval_of_one_image_or_of_no_number() -> None:
    assert bootstrap(lambda places: 1.0, 1) is None
    assert bootstrap(lambda places: math.nan, 10) is None


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemars_exact_test_is_the_binomial_one_and_the_mid_p_value_less(first: int, second: int) -> None:
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second, exact=True) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first) <= mcnemar(first, second, exact=True)


def test_the_mid_p_value_is_that_of_the_paper() -> None:
    """Table 1 of Fagerland, Lydersen & Laake 2013: 1 and 7 images; exact 0.0703, mid-p 0.0391."""
    assert mcnemar(1, 7, exact=True) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)


def test_runs_that_differ_on_many_thousand_images_are_compared_at_once() -> None:
    assert mcnemar(25_000, 25_000) == pytest.approx(1.0)
    assert mcnemar(20_000, 30_000) < 1e-300
