"""The answers of `ft predict`, written to a file as they come: lines of CSV or JSON, or a Parquet table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft.cli.answers import Show
from ft.data.known_files import state_of
from ft.errors import FtError
from ft.machine.files import publish, put_in_place, sweep
from ft.machine.growing import Going, Growing, Growth, Row, growing
from ft.text.names import as_text
from ft.text.terminal import as_json

if TYPE_CHECKING:
    from ft.data.pictures import Picture
    from ft.extension.tasks import Answer
    from ft.inference.form import Form
    from ft.inference.prediction import Prediction

Cell = str | float | None
"""What stands in a column of a row; nothing where there is no answer."""
_TOGETHER = 10_000
"""Rows that a Parquet file keeps together, and that are in memory until they are written."""


def check_form(path: Path) -> None:
    """Raise FtError for a file of answers whose name has another suffix than those that can be written, and where what
    writes it is not installed."""
    if path.suffix not in KINDS:
        raise FtError(f"--out writes {', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}, by its name; {path} is none")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise FtError(
                f"{path} takes pyarrow, which is not installed: pip install 'ftkit[parquet]', or write .csv or .jsonl"
            ) from None
    sweep(path)


@dataclass(frozen=True, eq=False)
class File:
    """A file of answers in a `form`: what all of them are `of`, and with what the file is gone on, if it is. Answers
    that are not in the order in which images were named cannot be gone on with."""

    path: Path
    form: Form
    of: Mapping[str, Any] | None
    going: Going | None


@contextmanager
def answer_file(file: File) -> Iterator[tuple[Show, Growing]]:
    """Write a file that is whole when the block ends; until then its rows are beside it, to be gone on with."""
    kind, of = KINDS[file.path.suffix], file.of
    if of is not None:
        of = {**of, "columns": [as_text(name) for name in _columns(file.form)]}
    with growing(file.path, Growth(of, kind.head(file.form), partial(kind.finish, file.form)), file.going) as grown:
        made = kind.rows(file.form)

        def show(some: Sequence[Prediction]) -> None:
            grown.add([Row(key_of(each.picture), made(each), each.error) for each in some])

        yield show, grown


def key_of(picture: Picture) -> str:
    """By what an image is taken for the one that has an answer: its name, and the state of its file."""
    return f"{picture.name}\n{state_of(str(picture.path or picture.within or ''))}"


@dataclass(frozen=True)
class Kind:
    """What becomes of answers in a form: what stands before the rows, what makes the row of an image, and what makes of
    rows at the first path the file at the second."""

    head: Callable[[Form], bytes]
    rows: Callable[[Form], Callable[[Prediction], bytes]]
    finish: Callable[[Form, Path, Path], object] = lambda _, rows, path: put_in_place(rows, path)


def _json_line(form: Form) -> Callable[[Prediction], bytes]:
    return lambda each: (as_json(form.said(each), indent=None) + "\n").encode()


def _csv_line(cells: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(["" if cell is None else as_text(str(cell)) for cell in cells])
    return text.getvalue().encode()


def _csv_row(form: Form) -> Callable[[Prediction], bytes]:
    row = _to_row(form)
    return lambda each: _csv_line(row(each))


def _cells_row(form: Form) -> Callable[[Prediction], bytes]:
    """The cells of a Parquet table, to which nothing can be added once it is written, as a line of JSON."""
    row = _to_row(form)

    def made(each: Prediction) -> bytes:
        cells = [as_text(cell) if isinstance(cell, str) else cell for cell in row(each)]
        return (json.dumps(cells) + "\n").encode()

    return made


def _parquet(form: Form, rows: Path, path: Path) -> None:
    """Publish a Parquet table of lines of cells."""
    import pyarrow
    from pyarrow import parquet

    kinds = {bool: pyarrow.bool_(), str: pyarrow.string()}
    schema = pyarrow.schema(
        [(as_text(name), kinds.get(type(cell), pyarrow.float64())) for name, cell in _columns(form).items()]
    )
    with rows.open("rb") as lines, publish(path) as file, parquet.ParquetWriter(file, schema) as writer:
        some = [json.loads(line) for line in islice(lines, _TOGETHER)]
        while True:
            columns = zip(*some, strict=True) if some else ([] for _ in schema)
            arrays = [pyarrow.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            if not (some := [json.loads(line) for line in islice(lines, _TOGETHER)]):
                return


KINDS: Mapping[str, Kind] = {
    ".csv": Kind(lambda form: _csv_line(_columns(form)), _csv_row),
    ".jsonl": Kind(lambda _: b"", _json_line),
    ".parquet": Kind(lambda _: b"", _cells_row, _parquet),
}
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
            return [each.name, *[None] * (len(names) + every + len(form.beside)), each.error]
        cells = each.answer.row(form.top)
        shares = _every(form, each.answer).values()
        told = (each.beside[name] for name in form.beside)
        return [each.name, *(cells.get(name) for name in names), *shares, *told, each.error]

    return row


def _every(form: Form, answer: Answer) -> Mapping[str, float]:
    return (answer.every() or {}) if form.every else {}
