"""The answers of `ft predict`, printed as they come: a table, or a list in JSON; and what is said where there is
none."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len

from ft.errors import FtError
from ft.text.counting import number_of
from ft.text.terminal import as_json, plainer, visible

if TYPE_CHECKING:
    from ft.inference.form import Form
    from ft.inference.prediction import Prediction
    from ft.machine.display import Display

Show = Callable[[Sequence["Prediction"]], None]
"""Prints or writes the answers of one batch."""
LISTED = 20
"""Images without an answer that are named."""
_WIDEST = 40
"""Cells to which a name is filled up at most, so that one long name makes no table of spaces."""


@contextmanager
def table(images: Iterable[object], names: Iterable[str], form: Form, display: Display) -> Iterator[Show]:
    """Print an image a row: what was answered, in which `names` of the label space may stand. Each row is whole, and a
    line."""
    ascii_only = display.out.options.ascii_only

    def printable(name: object) -> str:
        return plainer(visible(str(name))) if ascii_only else visible(str(name))

    headers = ("image", *form.cells(form.like, form.beside))
    answer = _width(f"{printable(name)} 100.0%" for name in names)
    answers = len(headers) - len(form.beside)
    widths = (
        _width(map(printable, images)),
        *(max(answer, cell_len(header)) for header in headers[1:answers]),
        *(max(len("0.000"), cell_len(header)) for header in headers[answers:]),
    )
    started = False

    def show(some: Sequence[Prediction]) -> None:
        nonlocal started
        rows = [
            (printable(each.name), *map(printable, form.cells(each.answer, each.beside).values()))
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
    """Print a list in JSON, of which each answer is an element; it is closed when all are there, and also where
    something ends it before, so that what was printed can be read."""
    written = 0
    encoding = display.out.encoding

    def show(some: Sequence[Prediction]) -> None:
        nonlocal written
        elements = [textwrap.indent(as_json(form.said(each), encoding), "  ") for each in some]
        display.tell_ready(("," if written else "[") + "\n" + ",\n".join(elements), end="")
        written += len(some)

    try:
        yield show
    except BaseException as error:
        if written:
            error.add_note(f"the list that was printed ends after {number_of(written, 'image')}")
            with suppress(OSError):  # nobody may be there to read it
                display.tell_ready("\n]")
        raise
    display.tell_ready("\n]")


@dataclass
class Unanswered:
    """Why images have no answer: of so many, the first."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, errors: Iterable[str]) -> None:
        for error in errors:
            self.count += 1
            if len(self.first) < LISTED:
                self.first.append(error)


def end_with_bad(failed: Unanswered, count: int, bad: str, done: str, display: Display) -> None:
    """Tell which of so many images have no answer, and why; of very many the first. Raises FtError, which says what was
    `done` all the same, unless `bad` is "skip"."""
    if not failed.count:
        return
    more = [f"... and {failed.count - LISTED} more"] if failed.count > LISTED else []
    listed = "".join(f"\n  {line}" for line in (*failed.first, *more))
    said = f"{failed.count} of {count} images have no answer:{listed}"
    if bad == "fail":
        there = f"{done}. " if done else ""
        raise FtError(f"{said}\n{there}Mend them, or take this for a warning with --bad-images skip")
    display.warn(said)


def _width(names: Iterable[str]) -> int:
    return min(max(map(cell_len, names), default=0), _WIDEST)


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
