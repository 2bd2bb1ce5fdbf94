from __future__ import annotations

import pytest

from ft.extension.sections import Chart, Line
from ft.pages.charts import HEIGHT, WIDTH, draw_chart

RISING = Line("rising", ((1, 0.5), (2, 0.75), (3, 1.0)))


def test_a_line_has_a_path_and_a_mark_at_each_of_a_few_points() -> None:
    drawing = draw_chart(Chart("", "epoch", "accuracy", (RISING,), y_form=".0%"))
    (line,) = drawing.lines
    xs, ys = [mark.x for mark in line.marks], [mark.y for mark in line.marks]
    assert (xs[0], xs[-1]) == (drawing.left, drawing.right)
    assert ys == sorted(ys, reverse=True)
    assert line.path == f"M{' '.join(f'{x:g},{y:g}' for x, y in zip(xs, ys, strict=True))}"
    assert line.marks[0].text == "rising: epoch 1, accuracy 50%"
    assert [tick.text for tick in drawing.upright] == ["1", "2", "3"]
    assert drawing.across[-1].text == "100%"


def test_points_open_images_and_have_no_path() -> None:
    drawing = draw_chart(Chart("", "x", "y", (Line("", ((0, 0), (1, 1)), (7, 9)),), kind="points"))
    assert drawing.opens
    assert drawing.lines[0].path == ""
    assert [mark.place for mark in drawing.lines[0].marks] == [7, 9]
    assert drawing.lines[0].marks[1].text == "x 1, y 1"


def test_bars_stand_on_zero_beside_each_other() -> None:
    two = (Line("a", ((0.0, 2), (1.0, 4))), Line("b", ((0.0, 4), (1.0, -1))))
    drawing = draw_chart(Chart("", "x", "y", two, kind="bars"))
    a, b = (line.marks for line in drawing.lines)
    zero = a[0].y + a[0].height
    assert a[1].y + a[1].height == pytest.approx(zero, abs=0.2)
    assert b[1].y == pytest.approx(zero, abs=0.2)
    assert a[1].height == pytest.approx(2 * a[0].height, abs=0.3)
    assert a[0].x + a[0].width <= b[0].x + 0.1
    assert b[0].x + b[0].width < a[1].x
    assert all(mark.x >= 0 and mark.x + mark.width <= WIDTH for mark in (*a, *b))


def test_a_diagonal_goes_from_corner_to_corner() -> None:
    drawing = draw_chart(Chart("", "x", "y", (Line("", ((0, 10), (5, 20))),), kind="points", diagonal=True))
    assert drawing.diagonal == (drawing.left, drawing.bottom, drawing.right, drawing.top)


def test_of_very_many_points_and_lines_some_are_drawn_and_it_says_so() -> None:
    many = Line("", tuple((n, n) for n in range(50_000)), tuple(range(50_000)))
    drawing = draw_chart(Chart("", "x", "y", (many,), kind="points", note="As measured."))
    assert len(drawing.lines[0].marks) == 2000
    assert drawing.lines[0].marks[-1].place == 49_999
    assert drawing.notes == ("As measured.", "2,000 of 50,000 points are drawn, evenly chosen.")
    drawing = draw_chart(Chart("", "x", "y", (RISING,) * 30))
    assert (len(drawing.lines), drawing.notes) == (8, ("8 of 30 lines are drawn.",))


@pytest.mark.parametrize("points", [(), ((1.0, 0.0),), ((1.0, 3.0), (1.0, 3.0))])
@pytest.mark.parametrize("kind", ["lines", "bars", "points"])
def test_few_points_and_none_are_drawn_within_the_picture(points: tuple[tuple[float, float], ...], kind: str) -> None:
    drawing = draw_chart(Chart("", "x", "y", (Line("", points),), kind=kind, diagonal=True))  # type: ignore[arg-type]
    for mark in drawing.lines[0].marks:
        assert 0 <= mark.x <= WIDTH
        assert 0 <= mark.y <= HEIGHT
