"""Tables on wide and on narrow terminals."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from rich.cells import cell_len
from rich.console import Console

from ft.machine.layout import Columns, matrix, print_matrix, print_pairs, print_table
from ft.text.terminal import prepare_streams, visible

HEADERS = ("name", "state", "about")
LONG = "/a/path/that/is/much/longer/than/the/terminal/is/wide/photo.jpg"


def terminal(out: io.StringIO, width: int) -> Console:
    return Console(file=out, width=width, force_terminal=True, color_system=None)


def printed(rows: list[tuple[str, ...]], width: int, **how: Any) -> list[str]:
    out = io.StringIO()
    print_table(HEADERS, rows, Columns(**how), console=terminal(out, width))
    assert " \n" not in out.getvalue()
    return [line for line in out.getvalue().splitlines() if line]


@pytest.mark.parametrize("width", [80, 10])
def test_a_table_of_nothing_is_its_headers(width: int) -> None:
    assert printed([], width, cut="about")[0].split()[:2] == ["name", "state"]


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


def test_prose_is_folded_before_a_name_is_shortened_and_after_spare_columns_are_left_out() -> None:
    rows = [("a name that is long", "ok", "what it does, in " + "many " * 20)]
    lines = printed(rows, width=50, prose="about", squeeze=("name",), spare=("state",))
    assert lines[0].split() == ["name", "about"]
    assert "a name that is long" in lines[2]
    assert "".join(" ".join(lines[2:]).split()).count("many") == 20
    assert max(map(cell_len, lines)) <= 50


@pytest.mark.parametrize("is_terminal", [True, False])
def test_long_pairs_are_folded_between_words_on_a_terminal_alone(is_terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=is_terminal, color_system=None)
    print_pairs([("weights", f"{'word ' * 12}{LONG} end"), ("data", "short")], console, folded=True)
    *lines, last = out.getvalue().splitlines()
    assert last == "data        short"
    assert " ".join(" ".join(lines).split()) == f"weights {'word ' * 12}{LONG} end"
    assert (len(lines) > 2) is is_terminal
    if is_terminal:
        assert all(len(line) <= 40 or LONG in line for line in lines)
        assert all(line.startswith(" " * 12 + line.strip()[:1]) for line in lines[1:])


def test_numbers_are_set_to_the_right() -> None:
    *_, one, ten = printed([("1", "", ""), ("10", "", "")], width=40, right=("name",))
    assert one.index("1") == ten.index("1") + 1


def test_a_name_that_is_too_long_loses_its_middle() -> None:
    names = [
        f"bottle {kind}, {'as it came from the line ' * 4}({end})" for kind, end in (("a", "glass"), ("b", "metal"))
    ]
    *_, one, two = printed([(name, "ok", "x") for name in names], width=60, squeeze=("name",))
    assert one.startswith(" bottle a")
    assert "(glass)" in one
    assert "(metal)" in two
    assert max(len(one), len(two)) <= 60


@pytest.mark.parametrize("longest", [20, 28, 60, 200])
def test_of_two_names_that_are_too_long_the_longer_one_loses_more(longest: int) -> None:
    rows = [(f"a{'b' * 28}c", f"d{'e' * longest}f", "12"), ("g", "h", "3")]
    *_, long, short = printed(rows, width=60, squeeze=("name", "state"), right=("about",))
    first, second, number = long.split()
    assert (first[0] + first[-1], second[0] + second[-1], number) == ("ac", "df", "12")
    assert max(cell_len(long), cell_len(short)) <= 60
    assert abs(len(first) - len(second)) <= 1 or len(second) == longest + 2 < len(first)
    assert cell_len(long) >= 59  # and no more than it has to


def test_headers_of_numbers_are_folded_before_anything_is_left_out() -> None:
    headers, row = ("label", "average precision", "hits"), ("a name of a label", "0.123", "7")
    wide, narrow = io.StringIO(), io.StringIO()
    for out, width in ((wide, 60), (narrow, 41)):
        print_table(headers, [row], Columns(right=headers[1:], spare=("hits",)), console=terminal(out, width))
    assert wide.getvalue().splitlines()[0].split() == ["label", "average", "precision", "hits"]
    first, second, _, below, _ = narrow.getvalue().splitlines()
    assert (first.split(), second.split()) == (["average"], ["label", "precision", "hits"])
    assert below.index("0.123") + 5 == second.index("precision") + 9 == first.index("average") + 7


def test_what_is_no_terminal_gets_each_row_whole_in_a_line() -> None:
    out = io.StringIO()
    about = "what it does, in many words " * 10
    for how in ({"cut": "about"}, {"prose": "about"}, {"squeeze": ("about",)}, {"spare": ("state",)}):
        print_table(HEADERS, [("a", "ok", about)], Columns(**how), console=Console(file=out, width=40))
    rows = [line for line in out.getvalue().splitlines() if line.startswith(" a ")]
    assert rows == [f" a      ok      {about.rstrip()}"] * 4


@pytest.mark.parametrize("names", [4, 8, 12])
@pytest.mark.parametrize(
    "name", ["c", "n02085620 a long name with [markup]", "猫の写真がたくさんあるクラス", ":cat:\n\x1b[2J"]
)
@pytest.mark.parametrize("most", [1, 500, 50_000])
def test_a_matrix_fits_a_terminal_and_has_every_count_once(names: int, name: str, most: int) -> None:
    counts = [[most - 13 * row - column for column in range(names)] for row in range(names)]
    parts = list(matrix([f"{name} {n}" for n in range(names)], counts, 80))
    assert all(part.width() <= 80 for part in parts)
    assert [sum((part.rows[n][1:] for part in parts), ()) for n in range(names)] == [
        tuple(map(str, row)) for row in counts
    ]
    if len(parts) > 1 or parts[0].headers[0].startswith("of"):
        assert sum((part.headers[1:] for part in parts), ()) == tuple(str(n) for n in range(1, names + 1))
        assert [row[0].split()[0] for row in parts[0].rows] == [str(n) for n in range(1, names + 1)]
    out = io.StringIO()
    print_matrix([f"{name} {n}" for n in range(names)], counts, terminal(out, 80))
    assert all(cell_len(line) <= 80 for line in out.getvalue().splitlines())


def test_twelve_classes_of_500_images_fit_side_by_side() -> None:
    (whole,) = matrix([f"class number {n}" for n in range(12)], [[500] * 12] * 12, 80)
    assert whole.width() <= 80


def test_a_terminal_that_knows_only_ascii_gets_every_table() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="ft.plainer")
    prepare_streams()
    console = Console(file=out, width=60, force_terminal=True, color_system=None)
    print_table(("name", "about"), [("é → 猫", "words")], Columns(right=("about",)), console=console)
    print_matrix(["é", "猫"], [[1, 2], [3, 4]], console)
    out.flush()
    assert (
        raw.getvalue().decode("ascii")
        == r"""
 name             about
 ----------------------
 \xe9 -> \u732b   words

 images of \ taken for   \xe9   \u732b
 -------------------------------------
 \xe9                       1        2
 \u732b                     3        4

""".removeprefix("\n")
    )


@given(st.lists(st.text(st.characters(categories=None, exclude_categories=())), min_size=1, max_size=4))
@example(["a [/b]", "bottle [glass]", ":cat:"])
@example(["\U0001f3fb", "\u0301\u0301", "\u1160", "\U00013437"])  # drawn upon what stands before, of no width alone
def test_whatever_a_cell_holds_is_printed_as_text(names: list[str]) -> None:
    out = io.StringIO()
    print_table(["name", *names], [(name, *names) for name in names], console=Console(file=out, width=80))
    headers, _, *rows, end = out.getvalue().split("\n")[:-1]
    assert end == ""
    for name, row in zip(names, rows, strict=True):
        assert row.split() == " ".join(map(visible, (name, *names))).split()
    assert headers.split() == " ".join(["name", *map(visible, names)]).split()
