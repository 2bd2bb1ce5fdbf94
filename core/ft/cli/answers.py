"""The answers of `ft predict`, printed or written as they come: a table, a list in JSON, a file of lines."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from ft.errors import FtError
from ft.machine.files import publish, sweep
from ft.text.counting import first_lines
from ft.text.names import as_text
from ft.text.terminal import as_json, plainer, visible

if TYPE_CHECKING:
    from ft.extension.tasks import Answer
    from ft.inference.predict import Prediction
    from ft.machine.display import Display

Show = Callable[[Sequence["Prediction"]], None]
"""Prints or writes the answers of one batch."""
FORMS = (".csv", ".jsonl")
_WIDEST = 40
"""Cells to which a name is filled up at most, so that one long name makes no table of spaces."""


@dataclass(frozen=True)
class Form:
    """How answers are written: the `top` best of each, and `like` one that an image might get, whose columns all
    have."""

    top: int
    like: Answer

    def said(self, each: Prediction) -> dict[str, Any]:
        """An answer as JSON; where there is none, its lists are empty and all else is null."""
        answer = self.like if each.answer is None else each.answer
        said = answer.said(self.top)
        if each.answer is None:
            said = {name: _nothing(value) for name, value in said.items()}
        return {"path": each.path, **said, "error": each.error}


def _nothing(value: Any) -> Any:
    return type(value)() if isinstance(value, list | tuple | dict) else None


@contextmanager
def table(paths: Iterable[Path], names: Iterable[str], form: Form, display: Display) -> Iterator[Show]:
    """Print an image a row: what was answered, in which `names` of the label space may stand. Each row is whole, and a
    line."""
    ascii_only = display.out.options.ascii_only

    def printable(name: object) -> str:
        return plainer(visible(str(name))) if ascii_only else visible(str(name))

    headers = ("image", *form.like.cells(form.top))
    answer = _width(f"{printable(name)} 100.0%" for name in names)
    widths = (_width(map(printable, paths)), *(max(answer, cell_len(header)) for header in headers[1:]))
    started = False

    def show(some: Sequence[Prediction]) -> None:
        nonlocal started
        rows = [
            (printable(each.path), *map(printable, each.answer.cells(form.top).values()))
            for each in some
            if each.answer is not None
        ]
        if rows and not started:
            rule = "-" if ascii_only else "─"
            rows = [headers, tuple(rule * width for width in widths), *rows]
            started = True
        if rows:
            lines = [" " + "   ".join(map(_filled, row, widths)).rstrip() for row in rows]
            display.tell_ready("\n".join(lines))

    yield show


@contextmanager
def json_list(form: Form, display: Display) -> Iterator[Show]:
    """Print a list in JSON, of which each answer is an element; it is closed when all are there."""
    written = 0
    encoding = display.out.encoding

    def show(some: Sequence[Prediction]) -> None:
        nonlocal written
        elements = [textwrap.indent(as_json(form.said(each), encoding), "  ") for each in some]
        display.tell_ready(("," if written else "[") + "\n" + ",\n".join(elements), end="")
        written += len(some)

    yield show
    display.tell_ready("\n]")


def check_form(path: Path) -> None:
    """Raise FtError for a file of answers whose name has another suffix than those that can be written."""
    if path.suffix not in FORMS:
        raise FtError(f"--out writes {' or '.join(FORMS)}, by its name; {path} is neither")
    sweep(path)


@contextmanager
def answer_file(path: Path, form: Form) -> Iterator[Show]:
    """Write a file of lines, .csv or .jsonl, whole when the block ends, or not at all: with an exception, and where the
    process is killed, what was there before stays."""
    columns = list(form.like.row(form.top))
    as_csv = path.suffix == ".csv"
    with publish(path) as file:
        titles = (f"{column}_answer" if column in ("image", "error") else column for column in columns)
        file.write(_csv(("image", *titles, "error")).encode() if as_csv else b"")

        def line(each: Prediction) -> str:
            if not as_csv:
                return as_json(form.said(each), indent=None) + "\n"
            row = {} if each.answer is None else each.answer.row(form.top)
            return _csv((str(each.path), *(str(row.get(column, "")) for column in columns), each.error))

        def show(some: Sequence[Prediction]) -> None:
            file.write("".join(map(line, some)).encode())
            file.flush()

        yield show


def complaint(failed: Sequence[Prediction], count: int) -> str:
    """Which images have no answer, and why; of very many the first."""
    listed = "".join(f"\n  {line}" for line in first_lines([each.error for each in failed]))
    return f"{len(failed)} of {count} images have no answer:{listed}"


def _csv(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(map(as_text, cells))
    return text.getvalue()


def _width(names: Iterable[str]) -> int:
    return min(max(map(cell_len, names), default=0), _WIDEST)


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
