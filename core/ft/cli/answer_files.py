"""The answers of `ft predict`, written to a file as they come: lines of CSV or JSON, or a Parquet table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ft.cli.answers import Form, Show
from ft.errors import FtError
from ft.machine.files import publish, sweep
from ft.text.names import as_text
from ft.text.terminal import as_json

if TYPE_CHECKING:
    from ft.extension.tasks import Answer
    from ft.inference.prediction import Prediction

Cell = str | float | None
"""What stands in a column of a row; nothing where there is no answer."""
_TOGETHER = 10_000
"""Rows that a Parquet file keeps together, and that are in memory until they are written."""


def check_form(path: Path) -> None:
    """Raise FtError for a file of answers whose name has another suffix than those that can be written, and where what
    writes it is not installed."""
    if path.suffix not in WRITERS:
        raise FtError(
            f"--out writes {', '.join(list(WRITERS)[:-1])} or {list(WRITERS)[-1]}, by its name; {path} is none"
        )
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise FtError(
                f"{path} takes pyarrow, which is not installed: pip install 'ftkit[parquet]', or write .csv or .jsonl"
            ) from None
    sweep(path)


@contextmanager
def answer_file(path: Path, form: Form) -> Iterator[Show]:
    """Write a file whole when the block ends, or not at all: with an exception, and where the process is killed, what
    was there before stays."""
    with publish(path) as file, WRITERS[path.suffix](file, form) as show:
        yield show


@contextmanager
def _lines(file: BinaryIO, form: Form) -> Iterator[Show]:
    def show(some: Sequence[Prediction]) -> None:
        file.write("".join(as_json(form.said(each), indent=None) + "\n" for each in some).encode())
        file.flush()

    yield show


@contextmanager
def _csv(file: BinaryIO, form: Form) -> Iterator[Show]:
    def write(rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows([as_text(str(cell)) for cell in row] for row in rows)
        file.write(text.getvalue().encode())
        file.flush()

    write([list(_columns(form))])
    row = _to_row(form)

    def show(some: Sequence[Prediction]) -> None:
        write([["" if cell is None else cell for cell in row(each)] for each in some])

    yield show


@contextmanager
def _parquet(file: BinaryIO, form: Form) -> Iterator[Show]:
    import pyarrow
    from pyarrow import parquet

    kinds = {bool: pyarrow.bool_(), str: pyarrow.string()}
    schema = pyarrow.schema(
        [(as_text(name), kinds.get(type(cell), pyarrow.float64())) for name, cell in _columns(form).items()]
    )
    row = _to_row(form)
    waiting: list[list[Cell]] = []
    with parquet.ParquetWriter(file, schema) as writer:

        def write() -> None:
            columns = zip(*waiting, strict=True) if waiting else ([] for _ in schema)
            arrays = [pyarrow.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        def show(some: Sequence[Prediction]) -> None:
            waiting.extend([as_text(cell) if isinstance(cell, str) else cell for cell in row(each)] for each in some)
            if len(waiting) >= _TOGETHER:
                write()

        yield show
        write()


WRITERS: Mapping[str, Callable[[BinaryIO, Form], Any]] = {".csv": _csv, ".jsonl": _lines, ".parquet": _parquet}
"""By the suffix of the file."""


def _columns(form: Form) -> dict[str, Cell]:
    """The columns of a table, each with what may stand there. One of the answer's that is called as another is
    renamed."""
    taken = ("image", "error", *form.beside)
    answer = {f"{name}_answer" if name in taken else name: cell for name, cell in form.like.row(form.top).items()}
    every = {f"probability of {name}": share for name, share in _every(form, form.like).items()}
    return {"image": "", **answer, **every, **form.beside, "error": ""}


def _to_row(form: Form) -> Callable[[Prediction], list[Cell]]:
    """What makes the row of an image: a cell for each column."""
    names, every = list(form.like.row(form.top)), len(_every(form, form.like))

    def row(each: Prediction) -> list[Cell]:
        if each.answer is None:
            return [str(each.path), *[None] * (len(names) + every + len(form.beside)), each.error]
        cells = each.answer.row(form.top)
        shares = _every(form, each.answer).values()
        told = (each.beside[name] for name in form.beside)
        return [str(each.path), *(cells.get(name) for name in names), *shares, *told, each.error]

    return row


def _every(form: Form, answer: Answer) -> Mapping[str, float]:
    return (answer.every() or {}) if form.every else {}
