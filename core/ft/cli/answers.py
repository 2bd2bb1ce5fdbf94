"""The answers of `ft predict`, printed or written as they come: a table, a list in JSON, a file of lines."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from ft.data.load import first_lines
from ft.errors import FtError
from ft.machine.files import publish, sweep
from ft.text.names import as_text
from ft.text.terminal import as_json, plainer, visible

if TYPE_CHECKING:
    from ft.inference.predict import Prediction
    from ft.machine.display import Display

Show = Callable[[Sequence["Prediction"]], None]
"""Prints or writes the answers of one batch."""
FORMS = (".csv", ".jsonl")
_WIDEST = 40
"""Cells to which a name is filled up at most, so that one long name makes no table of spaces."""


@contextmanager
def table(paths: Iterable[Path], classes: Iterable[str], shown: int, display: Display) -> Iterator[Show]:
    """Print an image a row: its likeliest classes with their probabilities. Each row is whole, and a line."""
    ascii_only = display.out.options.ascii_only

    def printable(name: object) -> str:
        return plainer(visible(str(name))) if ascii_only else visible(str(name))

    answer = _width(f"{printable(name)} 100.0%" for name in classes)
    widths = (_width(map(printable, paths)), *[answer] * shown)
    started = False

    def show(some: Sequence[Prediction]) -> None:
        nonlocal started
        rows = [
            (
                printable(each.path),
                *(f"{printable(n)} {p:.1%}" for n, p in zip(each.classes, each.probabilities, strict=True)),
            )
            for each in some
            if not each.error
        ]
        if rows and not started:
            rule = "-" if ascii_only else "─"
            rows = [("image", *(f"{i}." for i in range(1, shown + 1))), tuple(rule * width for width in widths), *rows]
            started = True
        if rows:
            lines = [" " + "   ".join(map(_filled, row, widths)).rstrip() for row in rows]
            display.tell_ready("\n".join(lines))

    yield show


@contextmanager
def json_list(display: Display) -> Iterator[Show]:
    """Print a list in JSON, of which each answer is an element; it is closed when all are there."""
    written = 0
    encoding = display.out.encoding

    def show(some: Sequence[Prediction]) -> None:
        nonlocal written
        elements = [textwrap.indent(as_json(asdict(each), encoding), "  ") for each in some]
        display.tell_ready(("," if written else "[") + "\n" + ",\n".join(elements), end="")
        written += len(some)

    yield show
    display.tell_ready("\n]")


@contextmanager
def answer_file(path: Path, shown: int) -> Iterator[Show]:
    """Write a file of lines, .csv or .jsonl, whole when the block ends, or not at all: with an exception, and where the
    process is killed, what was there before stays. Raises FtError for another suffix."""
    if path.suffix not in FORMS:
        raise FtError(f"--out writes {' or '.join(FORMS)}, by its name; {path} is neither")
    sweep(path)
    line, first = (_csv_line, _csv_header(shown)) if path.suffix == ".csv" else (_json_line, "")
    with publish(path) as file:
        file.write(first.encode())

        def show(some: Sequence[Prediction]) -> None:
            file.write("".join(line(each, shown) for each in some).encode())
            file.flush()

        yield show


def complaint(failed: Sequence[Prediction], count: int) -> str:
    """Which images have no answer, and why; of very many the first."""
    listed = "".join(f"\n  {line}" for line in first_lines([each.error for each in failed]))
    return f"{len(failed)} of {count} images have no answer:{listed}"


def _csv_header(shown: int) -> str:
    answers = [f"{name}_{place}" for place in range(1, shown + 1) for name in ("class", "probability")]
    return _csv(("image", *answers, "error"))


def _csv_line(each: Prediction, shown: int) -> str:
    answers = [str(cell) for pair in zip(each.classes, each.probabilities, strict=True) for cell in pair]
    return _csv((str(each.path), *answers, *[""] * (2 * (shown - len(each.classes))), each.error))


def _csv(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(map(as_text, cells))
    return text.getvalue()


def _json_line(each: Prediction, shown: int) -> str:
    return as_json(asdict(each), indent=None) + "\n"


def _width(names: Iterable[str]) -> int:
    return min(max(map(cell_len, names), default=0), _WIDEST)


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
