"""A curve as small as a word."""

from __future__ import annotations

import math

from hypothesis import given, strategies as st

from ft.text.curve import HEIGHTS, HEIGHTS_IN_ASCII, curve


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=60),
    st.integers(1, 30),
    st.booleans(),
)
def test_what_is_higher_is_drawn_no_lower_and_the_last_number_is_the_last_cell(
    values: list[float], cells: int, ascii_only: bool
) -> None:
    heights = HEIGHTS_IN_ASCII if ascii_only else HEIGHTS
    drawn = curve(values, cells, ascii_only)
    assert len(drawn) == min(cells, len(values))
    if len(drawn) == len(values):
        ordered = [heights.index(cell) for _, cell in sorted(zip(values, drawn, strict=True), key=lambda pair: pair[0])]
        assert ordered == sorted(ordered)
    if min(values) < max(values):
        assert (values[-1] == max(values)) <= (drawn[-1] == heights[-1])
        assert (values[-1] == min(values)) <= (drawn[-1] == heights[0])


def test_there_is_no_curve_of_what_is_no_number_nor_of_one() -> None:
    assert [curve(values, 8) for values in ([], [1.0], [1.0, math.nan], [1.0, math.inf])] == [""] * 4
    assert curve([2.0, 2.0], 8) == "▅▅"
