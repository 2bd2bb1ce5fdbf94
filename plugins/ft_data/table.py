"""csv:FILE: a table with a line for each image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

import ft
from ft import FtError, Remark, Sample, did_you_mean, number_of
from ft_data.listing import some
from ft_data.splits import Split, split_of
from ft_data.table_format import Row, Table, read_table
from ft_data.table_labels import Place, Unlabelled, by_label, columns_of, no_labels
from ft_data.table_paths import find_files

_PATHS = ("path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "imagename", "img", "imageid")
_LABELS = ("label", "labels", "class", "classname", "classlabel", "category", "target", "labelname")


class Settings(ft.Settings):
    path_column: str | None = Field(
        None, description="column with the image's path; default: path, or the one of a name like filename or image"
    )
    label_column: str | None = Field(
        None, description="column with its label; default: label, or the one called class, category, target"
    )
    columns: tuple[str, ...] = Field(
        (),
        examples=["[width, height]"],
        description="several columns with its labels or numbers, in place of the one, for tasks that read several",
    )
    split_column: str | None = Field(
        None,
        description="column with train, val, test, or nothing for 'ft may choose'; default: split, if there is one",
    )
    root: Path = Field(Path(), description="folder that paths are relative to; itself relative to the table's folder")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="what stands between columns; default: found out"
    )
    missing: tuple[str, ...] = Field(
        ("nan", "na", "n/a", "#n/a", "<na>", "null"), description="what says, in any case, that a label is missing"
    )
    unlabelled: Unlabelled = Field(
        "auto",
        description="what to do with images whose label is missing, or those of all columns: fail; skip them; keep "
        "them, with an empty label; auto: keep empty ones where others are names with ';' between them, else fail",
    )


@dataclass(frozen=True)
class Columns:
    """Where in a row to find what."""

    path: int
    label: Place
    split: int | None
    group: int | None


def load(argument: str | None, settings: Settings, group: str | None = None) -> Iterator[Sample | Remark]:
    """Yield the images that the table `argument` lists, which all exist, with what the column `group` says of each.
    Raises FtError."""
    if not argument:
        raise FtError("which table? Write csv:FILE, as in csv:./labels.csv")
    path = Path(os.path.expanduser(argument))
    table = read_table(path, settings.delimiter)
    columns = _columns(path, table, settings, group)
    folder = path.parent / os.path.expanduser(settings.root)
    for line, row in table.rows:
        if len(row) != len(table.header):
            raise FtError(f"{path}, line {line}: {len(row)} values, but the header names {len(table.header)} columns")
    if not table.rows:
        raise FtError(f"no images in {path}: it has no line below its header")
    labelled = by_label(table.rows, columns.label, settings.missing, settings.unlabelled)
    if labelled.without and settings.unlabelled != "skip":
        raise FtError(no_labels(path, labelled.without, columns.path, columns.label))
    groups = list(_groups(path, table, labelled.rows, columns, settings))
    files = find_files(path, folder, [(line, row[columns.path]) for line, row in labelled.rows])
    splits = [_split(path, line, row, columns) for line, row in labelled.rows]
    if said := _read_as(table, columns, settings):
        yield Remark(f"{path} is read with {', '.join(said)}")
    if left := labelled.without:
        yield Remark(f"{number_of(len(left), 'image')} left out, whose label is missing, as in line {left[0][0]}")
    if files.turned:
        count = number_of(len(files.turned), f"path in {path} is read", f"paths in {path} are read")
        yield Remark(f"{count} with / in place of \\, as {files.turned[0]}")
    for file, label, split, of in zip(files.found, labelled.labels, splits, groups, strict=True):
        yield Sample(file, label, split, group=of)


def _columns(path: Path, table: Table, settings: Settings, group: str | None) -> Columns:
    split = settings.split_column or next((name for name in table.header if _plain(name) == "split"), None)
    return Columns(
        _column(path, table, settings.path_column, "path", _PATHS),
        _label_place(path, table, settings),
        None if split is None else _column(path, table, split, "split", ()),
        None
        if group is None
        else _column(path, table, group, "group", (), "Say which column it is with --split-group"),
    )


def _label_place(path: Path, table: Table, settings: Settings) -> Place:
    if settings.columns and settings.label_column:
        raise FtError("data.columns and data.label_column both say where labels are; leave one of them out")
    if settings.columns:
        return columns_of(path, table.header, settings.columns)
    return _column(path, table, settings.label_column, "label", _LABELS)


def _column(path: Path, table: Table, wanted: str | None, what: str, usual: Sequence[str], hint: str = "") -> int:
    """Where the column is that was asked for, or the one with a usual name. Raises FtError."""
    names, hint = table.header, hint or f"Say which column it is with --set data.{what}_column=NAME"
    for fits in _ways(wanted, what, usual):
        places = [place for place, name in enumerate(names) if fits(name)]
        if len(places) == 1:
            return places[0]
        if places:
            raise FtError(f"{path} has several columns for the {what}: {', '.join(names[at] for at in places)}. {hint}")
    raise FtError(
        f"{path} has no column '{wanted or what}'; its first line names: {', '.join(names) or 'nothing'}."
        f"{did_you_mean(wanted or what, names)} {_switches(table) if what == 'label' else ''}{hint}"
    )


def _ways(wanted: str | None, what: str, usual: Sequence[str]) -> list[Callable[[str], bool]]:
    if wanted is not None:
        return [lambda name: name == wanted]
    return [lambda name: name == what, lambda name: _plain(name) == what, lambda name: _plain(name) in usual]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def _switches(table: Table) -> str:
    """Say so where columns are classes, with 1 in that of an image's own."""
    columns = [{row[at].strip() for _, row in table.rows if at < len(row)} for at in range(len(table.header))]
    names = [name for name, values in zip(table.header, columns, strict=True) if values == {"0", "1"}]
    return (
        f"The columns {some(names)} hold 0 and 1: if each is a label, say so with --task multilabel and "
        f"--set 'data.columns=[{', '.join(names)}]'. "
        if len(names) > 1
        else ""
    )


def _groups(
    path: Path, table: Table, rows: Sequence[Row], columns: Columns, settings: Settings
) -> Iterator[str | None]:
    """The group of each row. Raises FtError for rows without one: nobody knows whether theirs are one and the same."""
    at, missing = columns.group, {"", *(text.casefold() for text in settings.missing)}
    if at is None:
        yield from (None for _ in rows)
        return
    empty = [row for row in rows if row[1][at].strip().casefold() in missing]
    if empty:
        listed = "\n".join(f"  line {line}: {row[columns.path]}, '{row[at]}'" for line, row in empty[:20])
        more = f"\n  ... and {len(empty) - 20} more" if len(empty) > 20 else ""
        raise FtError(
            f"{number_of(len(empty), f'image in {path} has', f'images in {path} have')} nothing in the column "
            f"'{table.header[at]}' to group by:\n{listed}{more}\nWrite what it belongs to, or, where it belongs to no "
            "other image, a name of its own"
        )
    yield from (row[at].strip() for _, row in rows)


def _split(table: Path, line: int, row: Sequence[str], columns: Columns) -> Split | None:
    text = row[columns.split].strip() if columns.split is not None else ""
    split = split_of(text)
    if text and split is None:
        raise FtError(f"{table}, line {line}: '{text}' is no split; write train, val, test or nothing")
    return split


def _read_as(table: Table, columns: Columns, settings: Settings) -> list[str]:
    """What was found out about the table, and not said by its reader."""
    said = list(table.read_as)
    for what, place, told in (
        ("path", columns.path, settings.path_column),
        ("label", columns.label, settings.label_column),
    ):
        if told is None and isinstance(place, int) and table.header[place] != what:
            said.append(f"'{table.header[place]}' as {what}")
    return said
