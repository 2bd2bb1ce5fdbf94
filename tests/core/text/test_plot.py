"""Curves as text stay within their field, whatever they are of."""

from __future__ import annotations

from hypothesis import given, strategies as st

from ft.text.plot import Plot, plotted

NUMBERS = st.floats(-1e6, 1e6)


@given(
    st.lists(st.tuples(st.floats(-8, 2), NUMBERS), min_size=1, max_size=60),
    st.integers(20, 90),
    st.integers(2, 15),
    st.booleans(),
)
def test_every_line_fits_and_every_point_is_drawn(
    points: list[tuple[float, float]], columns: int, rows: int, ascii_only: bool
) -> None:
    marks = [(points[0][0], "here")]
    lines = plotted(Plot(points, columns, rows, marks=marks), ascii_only)
    assert len(lines) == rows + 3
    edge = max(line.index("|" if ascii_only else "│") for line in lines[:rows]) + 1
    assert all(len(line) <= edge + columns + len("^ here") for line in lines)
    assert any(line[edge:].strip() for line in lines[:rows])
    assert all(ord(character) < 128 for line in lines for character in line) is ascii_only


def test_of_no_points_there_is_no_plot() -> None:
    assert plotted(Plot([])) == []
