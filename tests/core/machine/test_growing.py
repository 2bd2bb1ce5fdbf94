"""Files of rows that are gone on with, wherever they were left."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from ft.errors import FtError
from ft.machine.growing import Going, Growth, Row, growing, lines_of, part_of
from ft.machine.signals import StopAsked

ROWS = [
    Row("a\nstate", b"a,1\r\n"),
    Row("b\nstate", b'"b\r\nb",2\r\n', "bad"),
    Row("c\udce9\nstate", b""),
    Row("d\nstate", b"d,4\r\n", "worse"),
    Row("e\nstate", b"e,5\r\n"),
]
HEAD = b"image,number\r\n"
WHOLE = HEAD + b"".join(row.content for row in ROWS)
GROWTH = Growth({"model": "m", "--top": 3}, HEAD)


class Stopped(Exception):
    pass


def write(path: Path, rows: Sequence[Row] = ROWS, *, until: int | None = None, resume: bool = False) -> int:
    """Write rows, or so many and then stop; how many were there before."""
    with growing(path, GROWTH, Going(row.key for row in rows) if resume else None) as file:
        before = file.before
        assert list(file.notes) == [row.note for row in rows[:before] if row.note]
        for place, row in enumerate(rows[before:], start=before):
            if place == until:
                raise Stopped
            file.add([row])
    return before


def stop(path: Path, until: int) -> None:
    with pytest.raises(Stopped):
        write(path, until=until)


def test_a_file_appears_whole_with_its_last_row_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.csv"
    assert write(path) == 0
    assert path.read_bytes() == WHOLE
    assert list(path.parent.iterdir()) == [path]


def test_what_stops_leaves_whole_rows_and_what_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_bytes(b"before")
    stop(path, 3)
    assert path.read_bytes() == b"before"
    assert part_of(path).read_bytes() == HEAD + b"".join(row.content for row in ROWS[:3])
    assert write(path, resume=True) == 3
    assert path.read_bytes() == WHOLE
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_row_nothing_is_left(tmp_path: Path) -> None:
    stop(tmp_path / "answers.csv", 0)
    assert not list(tmp_path.iterdir())
    assert write(tmp_path / "answers.csv", resume=True) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(ROWS)), st.integers(0, 400), st.integers(0, 80), st.binary(max_size=3))
def test_however_both_files_were_torn_the_whole_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: int, lines_cut: int, rows_cut: int, torn: bytes
) -> None:
    path = tmp_path_factory.mktemp("torn") / "answers.csv"
    with growing(path, GROWTH) as file:
        file.add(ROWS[:rows])
        kept = [(each, each.read_bytes()) for each in (part_of(path), lines_of(path))]
    path.unlink()
    for (each, content), cut in zip(kept, (rows_cut, lines_cut), strict=True):
        each.write_bytes(content[: max(0, len(content) - cut)] + torn)
    before = 0
    if lines_of(path).stat().st_size:
        before = write(path, resume=True)
    else:
        part_of(path).unlink()
        write(path)
    assert before <= rows
    assert path.read_bytes() == WHOLE


def test_rows_that_somebody_changed_are_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    stop(path, 4)
    part_of(path).write_bytes(part_of(path).read_bytes().replace(b"b\r\nb", b"X\r\nb"))
    assert write(path, resume=True) == 1
    assert path.read_bytes() == WHOLE


def test_what_is_kept_may_be_less_than_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    stop(path, 3)
    with growing(path, GROWTH, Going((row.key for row in ROWS), lambda done: done // 2 * 2)) as file:
        assert (file.before, file.notes) == (2, ["bad"])
        file.add(ROWS[2:])
    assert path.read_bytes() == WHOLE


def test_rows_that_could_be_gone_on_with_are_not_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    stop(path, 2)
    with pytest.raises(
        FtError, match=r"csv\.part has 2 rows of a file that is not whole yet; go on with it by --resume"
    ):
        write(path)
    assert write(path, resume=True) == 2
    with pytest.raises(FtError, match=r"answers\.csv is whole, and there is nothing to go on with"):
        write(path, resume=True)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("growth", "rows", "said"),
    [
        (Growth({"model": "o", "--top": 3}, HEAD), ROWS, "rows of another model than is asked for; ask for the same"),
        (Growth({"model": "m", "--top": 1}, HEAD), ROWS, r"rows of another --top \(3\) than is asked for \(1\)"),
        (GROWTH, ROWS[1:], r"row 1 of .*part is of a, and b is asked for there"),
        (GROWTH, [Row("a\nchanged", b""), *ROWS[1:]], r"row 1 of .*part is of a, and that has changed since"),
        (GROWTH, ROWS[:2], r"row 3 of .*part is of c.*, and nothing is asked for there"),
    ],
)  # fmt: skip
def test_rows_of_something_else_are_refused_and_kept(
    tmp_path: Path, growth: Growth, rows: Sequence[Row], said: str
) -> None:
    path = tmp_path / "answers.csv"
    stop(path, 3)
    with pytest.raises(FtError, match=said), growing(path, growth, Going(row.key for row in rows)):
        raise AssertionError
    assert write(path, resume=True) == 3


def test_a_file_that_only_looks_like_rows_stays(tmp_path: Path) -> None:
    (tmp_path / "answers.csv.part").write_text("mine")
    for resume in (False, True):
        with pytest.raises(FtError, match="nothing says what its rows are of"):
            write(tmp_path / "answers.csv", resume=resume)
    assert (tmp_path / "answers.csv.part").read_text() == "mine"


def test_another_process_does_not_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    program = (
        "import sys; from pathlib import Path; from ft.machine.growing import *\n"
        "try:\n  with growing(Path(sys.argv[1]), Growth({})): pass\n"
        "except Exception as error: print(error)"
    )
    with growing(path, GROWTH) as file:
        file.add(ROWS[:2])
        done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
        file.add(ROWS[2:])
    assert "another process is writing" in done.stdout
    assert path.read_bytes() == WHOLE


def leave(path: Path, growth: Growth, error: BaseException) -> None:
    with growing(path, growth) as file:
        file.add(ROWS[:2])
        raise error


def test_errors_and_signals_say_where_the_rows_are(tmp_path: Path) -> None:
    told = r"2 rows are in .*\.part; the same command with --resume goes on"
    with pytest.raises(FtError, match=rf"(?s)the disk is gone.{told}"):
        leave(tmp_path / "one.csv", GROWTH, FtError("the disk is gone"))
    with pytest.raises(StopAsked) as stopped:
        leave(tmp_path / "other.csv", GROWTH, StopAsked(2, None))
    assert re.search(told, stopped.value.__notes__[0])


def test_what_nobody_can_go_on_with_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        leave(tmp_path / "answers.csv", Growth(None, HEAD), Stopped())
    assert not list(tmp_path.iterdir())
