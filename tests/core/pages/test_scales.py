from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from ft.pages.scales import TICKS, Axis, shown_range, tick_labels, ticks
from ft.text.counting import written

NUMBERS = st.floats(-1e9, 1e9).map(lambda value: round(value, 6))


@given(st.lists(NUMBERS, max_size=20), st.booleans())
def test_every_value_lies_in_the_range_and_a_few_even_ticks_stand_there(values: list[float], with_zero: bool) -> None:
    low, high = shown_range(values, with_zero)
    assert low < high
    assert all(low <= value <= high for value in values)
    found = ticks(low, high)
    assert 2 <= len(found) <= 2 * TICKS
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) - min(steps) <= 1e-6 * max(steps)
    reach = (high - low) * 1e-6
    assert low - reach <= found[0]
    assert found[-1] <= high + reach


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_epochs_are_whole(first: int, more: int) -> None:
    found = ticks(first, first + more, whole=True)
    assert found
    assert all(each == int(each) for each in found)


@given(st.floats(0, 1), st.floats(0.001, 1), st.sampled_from([".0%", ".1%", ".2f", ",.0f"]))
def test_every_tick_is_told_as_it_is(low: float, more: float, form: str) -> None:
    found = ticks(low, low + more)
    labels = tick_labels(found, form)
    shares = [float(label.strip("%").replace(",", "")) / (100 if "%" in form else 1) for label in labels]
    assert shares == pytest.approx(found, rel=1e-6, abs=1e-9)
    assert len({len(label.partition(".")[2]) for label in labels}) == 1, "decimals that differ"


def test_other_forms_of_ticks_stay() -> None:
    assert tick_labels((0.1, 0.25), "g") == ("0.1", "0.25")
    assert tick_labels((1000, 2000), ",.0f") == ("1,000", "2,000")
    assert tick_labels((1 / 3,), ".0%") == ("33.33333%",), "no end of decimals"


def test_a_share_ends_at_0_and_1() -> None:
    assert shown_range([0.02, 0.99], with_zero=False, share=True) == (0.0, 1.0)
    low, high = shown_range([0.5, 0.6], with_zero=False, share=True)
    assert 0.4 < low < 0.5 < 0.6 < high < 0.7


def test_a_number_stands_where_it_belongs() -> None:
    assert [Axis(0, 10, 100, 0).at(value) for value in (0, 2.5, 10)] == [100, 75, 0]
    assert written(-0.0, ".1f") == "0.0"
