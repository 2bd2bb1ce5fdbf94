"""Tables on wide and on narrow terminals."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from ft.checkpoints import EpochRecord
from ft.cli.layout import print_table
from ft.display import Display
from ft.metrics import ClassMetrics, Evaluation

HEADERS = ("name", "state", "about")
LONG = "/a/path/that/is/much/longer/than/the/terminal/is/wide/photo.jpg"


def printed(rows: list[tuple[str, ...]], width: int, **how: Any) -> list[str]:
    out = io.StringIO()
    print_table(HEADERS, rows, console=Console(file=out, width=width), **how)
    assert " \n" not in out.getvalue()
    return [line for line in out.getvalue().splitlines() if line]


def test_a_path_that_does_not_fit_stays_whole() -> None:
    _, _, first, second = printed([("a", "ok", LONG), (LONG, "broken", "b")], width=40)
    assert first.split() == ["a", "ok", LONG]
    assert second.split() == [LONG, "broken", "b"]


def test_a_spare_column_is_left_out_only_where_there_is_no_room_for_it() -> None:
    rows = [("a" * 20, "ok", "what it does, in " + "many " * 20)]
    wide, narrow = (printed(rows, width, cut="about", spare=("state",)) for width in (80, 50))
    assert wide[0].split() == ["name", "state", "about"]
    assert narrow[0].split() == ["name", "about"]
    assert narrow[2].endswith("…")
    assert "what it does" in narrow[2]


def test_prose_is_folded_between_words() -> None:
    lines = printed([("a", "ok", "several words that do not fit")], width=30, prose="about")
    assert " ".join(" ".join(lines[2:]).split()) == "a ok several words that do not fit"
    assert all(len(line) <= 30 for line in lines)


def test_numbers_are_set_to_the_right() -> None:
    *_, one, ten = printed([("1", "", ""), ("10", "", "")], width=40, right=("name",))
    assert one.index("1") == ten.index("1") + 1


def test_a_line_of_an_epoch_fits_a_narrow_terminal() -> None:
    figures = Evaluation(0.5, 0.8, 0.79, (ClassMetrics("a", 0.8, 0.8, 0.8, 4),), ((4,),))
    for width, named in ((80, False), (140, True)):
        out = io.StringIO()
        display = Display(Console(file=out, width=width, force_terminal=True))
        display.epoch(EpochRecord(7, 0.5322, 0.734, 0.001, 12.3, figures), epochs=120, is_best=True)
        (line,) = out.getvalue().splitlines()
        assert len(line) < width
        assert ("accuracy" in line) is named
