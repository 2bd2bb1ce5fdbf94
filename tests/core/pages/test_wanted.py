from __future__ import annotations

from hypothesis import given, strategies as st

from ft.extension.sections import Chart, Choice, Line, Matrix, Pictures, Section, Shot
from ft.pages.wanted import MOST_MAPS, MOST_PHOTOS, opened_by_charts, spread, wanted


def test_rows_of_pictures_come_before_points_and_these_before_cells_mistakes_first() -> None:
    parts = (
        Matrix(("a", "b"), {(0, 0): (10, 11), (0, 1): (20, 21), (1, 0): (30,)}),
        Chart("", "", "", (Line("", ((0, 0),), (40,)),)),
        Choice("class", {"a": (Pictures("", (Shot(2, "", of=1), Shot(1, "", beside=5))),)}),
    )
    found = wanted([Section("A", parts)])
    assert found.places == (2, 1, 5, 40, 20, 30, 10, 21, 11)
    assert found.maps == ((2, 1),)


def test_points_leave_room_for_cells_and_maps_are_of_each_row_in_turn() -> None:
    many = range(100, 1000)
    parts = (
        Chart("", "", "", (Line("", tuple((n, n) for n in many), tuple(many)),)),
        Matrix(("a", "b"), {(0, 1): (1, 2, 3)}),
        *(Pictures("", tuple(Shot(n, "", of=0) for n in range(start, start + 24))) for start in (10, 40)),
    )
    found = wanted([Section("A", parts)])
    assert found.places[48:54:2] == (100, 115, 130)
    assert found.places[49:55:2] == (1, 2, 3)
    assert len(found.maps) == MOST_MAPS
    assert found.maps[:4] == ((10, 0), (40, 0), (11, 0), (41, 0))


def test_an_image_that_is_named_twice_is_wanted_once_and_of_very_many_some() -> None:
    rows = tuple(Pictures("", tuple(Shot(n, "", of=0) for n in range(start, start + 30))) for start in range(0, 900, 9))
    found = wanted([Section("A", (*rows, *rows))])
    assert (len(found.places), len(set(found.places))) == (MOST_PHOTOS, MOST_PHOTOS)
    assert len(set(found.maps)) == MOST_MAPS


def test_of_a_thousand_classes_each_pair_has_a_picture_before_one_has_two() -> None:
    cells = {(n, (n * 7 + 1) % 1000): (2 * n, 2 * n + 1) for n in range(1000)}
    found = wanted([Section("A", (Matrix(tuple(map(str, range(1000))), cells),))])
    assert len(found.places) == MOST_PHOTOS
    assert all(place % 2 == 0 for place in found.places)


def test_points_that_are_drawn_name_their_images() -> None:
    lines = (Line("", tuple((n, n) for n in range(9)), tuple(range(9))), Line("", ((0, 0),)))
    assert opened_by_charts([Section("A", (Chart("", "", "", lines),))]) == set(range(9))


@given(st.integers(0, 500), st.integers(2, 100))
def test_some_of_many_are_evenly_apart_with_the_first_and_the_last(many: int, most: int) -> None:
    found = spread(many, most)
    assert found == sorted(set(found))
    assert len(found) == min(many, most)
    assert not many or (found[0], found[-1]) == (0, many - 1)
