"""Errors are measured by what tells images apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st

from ft.prefix.nearness import NEAR_IN_BF16, NEAR_IN_FP32, Nearness, apart, nearness


def features(seed: int = 0, n: int = 24, size: int = 40) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.bfloat16().double()


def test_rounding_to_bf16_is_near_and_fp32_nearer() -> None:
    plain = features()
    assert 0 < nearness((rounded(plain),), (plain,)).spread < 0.005
    assert nearness((rounded(plain),), (plain,)).within(NEAR_IN_BF16)
    assert nearness((plain.float(),), (plain,)).within(NEAR_IN_FP32)
    assert nearness((plain,), (plain,)) == Nearness(0.0, 0.0)


def test_what_is_lost_beside_a_constant_is_seen_though_the_norm_hides_it() -> None:
    shifted = features() + 1000
    lost = rounded(shifted)
    assert (lost - shifted).norm() < 0.002 * shifted.norm()
    found = nearness((lost,), (shifted,))
    assert found.spread > 0.9
    assert found.answers > 0.25
    assert not found.within(NEAR_IN_BF16)


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e3), st.integers(0, 9))
def test_neither_what_all_images_share_nor_the_unit_counts(constant: float, unit: float, seed: int) -> None:
    plain = features(seed)
    noisy = plain + 0.1 * features(seed + 100)
    here, there = nearness((noisy,), (plain,)), nearness((unit * (noisy + constant),), (unit * (plain + constant),))
    assert there.spread == pytest.approx(here.spread, rel=1e-5)
    assert there.answers == pytest.approx(here.answers, abs=0.01)


def test_the_share_of_answers_is_what_geometry_says() -> None:
    """Of two vectors at an angle, a random plane through 0 has them on two sides in angle / pi of all cases."""
    plain = features(n=200, size=300)
    error = features(1, n=200, size=300)
    found = nearness((plain + 0.5 * error,), (plain,))
    assert found.spread == pytest.approx(0.5, rel=0.05)
    assert found.answers == pytest.approx(math.atan(0.5) / math.pi, rel=0.1)


@pytest.mark.parametrize("bad", [0, 1])
def test_one_tensor_that_is_lost_is_not_made_up_for_by_another(bad: int) -> None:
    fine, lost = features(), features(1) + 1000
    reference = (lost, fine) if bad == 0 else (fine, lost)
    assert not nearness(tuple(map(rounded, reference)), reference).within(NEAR_IN_BF16)


def test_small_channels_that_are_lost_beside_a_huge_one_are_seen_by_answers() -> None:
    plain = features()
    plain[:, 0] *= 1e6
    lost = plain.clone()
    lost[:, 1:] = features(1)[:, 1:]
    found = nearness((lost,), (plain,))
    assert found.spread < 1e-4
    assert found.answers > 0.25


def test_what_saturates_is_lost() -> None:
    plain = torch.sigmoid(features() + 9)
    assert not nearness((rounded(plain),), (plain,)).within(NEAR_IN_BF16)


def test_numbers_that_hardly_move_weigh_little() -> None:
    """As a ReLU leaves them that is 0 for all images but one: rounding is all that is left of them."""
    plain = features()
    plain[:, 30:] *= 1e-6
    noisy = plain + 1e-5 * features(1)
    assert nearness((noisy,), (plain,)).within(NEAR_IN_FP32)


def test_whole_numbers_shapes_and_what_is_finite_have_to_agree() -> None:
    plain = features()
    holed = plain.clone()
    holed[3, 4] = math.nan
    assert nearness((holed,), (plain,)) == Nearness(math.inf, math.inf)
    assert nearness((holed,), (holed,)) == Nearness(0.0, 0.0)
    numbers = torch.arange(6).reshape(3, 2)
    assert nearness((numbers,), (numbers,)) == Nearness(0.0, 0.0)
    assert nearness((numbers + 1,), (numbers,)).spread == math.inf
    assert nearness((numbers[:, :1],), (numbers,)).spread == math.inf
    assert "finite" in str(nearness((holed,), (plain,)))


def test_a_few_rows_are_measured_beside_the_spread_of_all() -> None:
    plain = features()
    some = plain[:2] + 3 * features(1)[:2]
    assert apart((some,), (plain[:2],), (plain,)) == pytest.approx(3, rel=0.5)
    assert apart((plain[:1] + 1,), (plain[:1],), (plain,)) < math.inf


def test_features_that_do_not_differ_between_images_may_differ_by_nothing() -> None:
    same = torch.ones(4, 3, dtype=torch.float64)
    assert nearness((same,), (same,)).within(NEAR_IN_FP32)
    assert not nearness((same * 1.001,), (same,)).within(NEAR_IN_BF16)
    assert nearness((torch.zeros(4, 3),), (torch.zeros(4, 3),)).within(NEAR_IN_FP32)
