"""csv:FILE: a table with a line for each image."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

import ft
from ft import FtError, Sample

_SPLITS: dict[str, Literal["train", "val", "test"] | None] = {
    "": None, "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip


class Settings(ft.Settings):
    path_column: str = Field("path", description="column with the image's path")
    label_column: str = Field("label", description="column with the name of its class")
    split_column: str | None = Field(
        None,
        description="column with train, val, test, or nothing for 'ft may choose'; default: split, if there is one",
    )
    root: Path = Field(Path(), description="folder that paths are relative to; itself relative to the table's folder")
    delimiter: str = Field(",", min_length=1, max_length=1, description="what stands between columns")


def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
    """Yield the images that the table `argument` lists, which all exist. Raises FtError."""
    if not argument:
        raise FtError("which table? Write csv:FILE, as in csv:./labels.csv")
    table = Path(os.path.expanduser(argument))
    rows = _read(table, settings.delimiter)
    header = rows[0][1] if rows else []
    path_at = _column(table, header, settings.path_column, "path_column")
    label_at = _column(table, header, settings.label_column, "label_column")
    split_at = None
    if settings.split_column or "split" in header:
        split_at = _column(table, header, settings.split_column or "split", "split_column")
    folder = table.parent / os.path.expanduser(settings.root)
    samples = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise FtError(f"{table}, line {line}: {len(row)} values, but the header names {len(header)} columns")
        path, label = row[path_at].strip(), row[label_at].strip()
        if not path or not label:
            raise FtError(f"{table}, line {line}: {'the path' if not path else 'the label'} is empty")
        split = row[split_at].strip().lower() if split_at is not None else ""
        if split not in _SPLITS:
            raise FtError(f"{table}, line {line}: '{split}' is no split; write train, val, test or nothing")
        samples.append(Sample(folder / path, label, _SPLITS[split]))
    if not samples:
        raise FtError(f"no images in {table}: it has no line below its header")
    _check_existence(table, folder, samples)
    yield from samples


def _read(table: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, with their numbers."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            return [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        beside = [entry.name for entry in table.parent.iterdir()] if table.parent.is_dir() else []
        raise FtError(f"there is no file {table}{_nearest(table.name, beside)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FtError(f"cannot read {table} as a UTF-8 table: {error}") from error


def _column(table: Path, header: Sequence[str], wanted: str, setting: str) -> int:
    if wanted in header:
        return header.index(wanted)
    raise FtError(
        f"{table} has no column '{wanted}'; its first line names: {', '.join(header) or 'nothing'}"
        f"{_nearest(wanted, header)}. Say which column it is with --set data.{setting}=NAME"
    )


def _check_existence(table: Path, folder: Path, samples: Sequence[Sample]) -> None:
    missing = [f"  {sample.path}" for sample in samples if sample.path is not None and not sample.path.is_file()]
    if missing:
        more = [f"  ... and {len(missing) - 20} more"] if len(missing) > 20 else []
        listed = "\n".join([*missing[:20], *more])
        raise FtError(
            f"{len(missing)} of the {len(samples)} images in {table} do not exist:\n{listed}\n"
            f"Paths are relative to {folder}; --set data.root=FOLDER changes that"
        )


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
