"""Parallel coordinates as a drawing."""

from __future__ import annotations

from ft.extension.sections import Parallel, Strand, Upright
from ft.pages.parallel import MOST_STRANDS, draw_parallel

AXES = (
    Upright("lr", ((0.0, "0.001"), (1.0, "0.1"))),
    Upright("a name that is far too long", ()),
    Upright("accuracy", ()),
)


def test_a_line_meets_each_axis_where_it_says_and_goes_past_one_that_it_does_not_meet() -> None:
    drawn = draw_parallel(
        Parallel("", AXES, (Strand("one", (0.0, 0.5, 1.0), 1.0), Strand("two", (1.0, None, 0.0), 0.0)))
    )
    first, _, last = drawn.axes
    assert {line.said: line.path for line in drawn.lines} == {
        "one": f"M{first.x:g},288 {drawn.axes[1].x:g},161 {last.x:g},34",
        "two": f"M{first.x:g},34 {last.x:g},288",
    }
    assert [tick.at for tick in first.ticks] == [drawn.bottom, drawn.top]


def test_the_best_line_is_drawn_last_over_all_others() -> None:
    strands = (Strand("best", (0.0, 0.0, 1.0), 1.0, best=True), Strand("worst", (0.0, 0.0, 0.0), 0.0))
    assert [line.said for line in draw_parallel(Parallel("", AXES, strands)).lines] == ["worst", "best"]


def test_a_long_title_is_shortened_and_kept_whole_beside_it() -> None:
    axis = draw_parallel(Parallel("", AXES, ())).axes[1]
    assert axis.title.endswith("…")
    assert axis.whole == "a name that is far too long"


def test_of_very_many_lines_the_best_are_drawn_and_a_note_says_so() -> None:
    strands = tuple(Strand(str(n), (0.0, 0.0, 0.0), n / 300) for n in range(MOST_STRANDS + 3))
    drawn = draw_parallel(Parallel("", AXES, strands))
    assert len(drawn.lines) == MOST_STRANDS
    assert drawn.notes == (f"The best {MOST_STRANDS} are drawn, and 3 others left out.",)
