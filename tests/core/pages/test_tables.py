from __future__ import annotations

from ft.extension.sections import Matrix
from ft.extension.tasks import Table
from ft.pages.tables import lay_out, square

COLUMNS = {"name": ("class", ""), "recall": ("recall", ".1%")}


def test_rows_that_cost_most_come_first_and_very_many_are_cut() -> None:
    rows = tuple({"name": f"class {n}", "recall": n / 1000} for n in range(1000))
    grid = lay_out(Table("classes", COLUMNS, rows, costs=tuple(1000.0 - n for n in range(1000))[::-1]))
    assert grid.rows[0][0].text == "class 999"
    assert (grid.rows[0][1].text, grid.rows[0][1].number) == ("99.9%", 0.999)
    assert (len(grid.rows), grid.left_out) == (200, 800)
    assert (grid.headers, grid.numeric) == (("class", "recall"), (False, True))


def test_rows_that_are_not_compared_keep_their_order() -> None:
    grid = lay_out(Table("t", COLUMNS, ({"name": "b", "recall": 0.1}, {"name": "a", "recall": 0.9})))
    assert [row[0].text for row in grid.rows] == ["b", "a"]


def test_few_names_make_a_square_and_each_cell_opens_some_of_its_images() -> None:
    found = square(Matrix(("a", "b"), {(0, 0): (1,), (0, 1): tuple(range(100, 130))}))
    assert [name for name, _ in found.rows] == ["a", "b"]
    ((right, wrong), (none, _)) = (pairs for _, pairs in found.rows)
    assert (wrong.count, wrong.places, wrong.right) == (30, tuple(range(100, 112)), False)
    assert wrong.share == 30 / 31
    assert (right.count, right.right, none.count, none.share) == (1, True, 0, 0)
    assert wrong.title == "images of a, taken for b"


def test_of_many_names_the_pairs_that_were_confused_most_are_listed() -> None:
    names = tuple(map(str, range(1000)))
    cells = {(n, n): (n,) for n in range(1000)} | {(n, n + 1): tuple(range(n)) for n in range(1, 100)}
    found = square(Matrix(names, cells))
    assert found.rows == ()
    assert (len(found.pairs), found.left_out) == (40, 59)
    assert [(row, column, pair.count) for row, column, pair in found.pairs[:2]] == [("99", "100", 99), ("98", "99", 98)]
