"""The list of a run's images, by which a resumed run knows whether they are still the same."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ft.data.load import ImageData
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.extension.tasks import Label
from ft.machine.files import publish_text
from ft.text.counting import first_lines
from ft.text.names import as_text
from ft.text.reading import MOST_TABLE, read_text

COLUMNS = ("path", "label", "split", "sha256")
"""Labels that are several columns stand behind these, each under its name."""
EARLIER = "earlier.csv"
"""In a run's folder: the images of the runs that it started from, one after the other."""
Row = tuple[str, ...]
"""What the columns say of one image."""


@dataclass(frozen=True)
class ListedImage:
    """An image as the table has it: its path, or its key where it is no file, its label, split and sha256."""

    path: str
    label: Label
    split: str
    digest: str


def write_image_list(path: Path, data: ImageData) -> None:
    """Publish a table with a line for each image, in the order in which they are numbered; `csv:` data reads it."""
    publish_text(path, "".join(map(_line, [(*COLUMNS, *_columns(data)), *_rows(data)])))


def write_listed(path: Path, images: Sequence[ListedImage]) -> None:
    """Publish such a table of images that are listed already."""
    label = images[0].label
    columns = () if isinstance(label, str) else tuple(label)
    rows = [_row(each.path, each.label, each.split, each.digest) for each in images]
    publish_text(path, "".join(map(_line, [(*COLUMNS, *columns), *rows])))


def listed_images(path: Path) -> list[ListedImage]:
    """Return all images of the table at `path`, in its order. Raises FtError where there is none that can be read."""
    columns, rows = _table(path)
    names = columns[len(COLUMNS) :]
    return [
        ListedImage(row[0], dict(zip(names, row[len(COLUMNS) :], strict=True)) if names else row[1], row[2], row[3])
        for row in rows
    ]


def known_splits(path: Path) -> Mapping[str, set[str]]:
    """Return which splits held an image, by its sha256, as the table at `path` has it, or the one beside it of the runs
    that its run started from; empty where there is no table.

    Raises FtError for one that cannot be read.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in _read(path) if path.exists() else ():
        found[row[3]].add(row[2])
    for digest, parts in earlier_splits(path.parent).items():
        found[digest] |= parts
    return found


def write_earlier(folder: Path, splits: Mapping[str, Set[str]]) -> None:
    """Publish a table of the images that runs before had, by their sha256, and in which parts."""
    lines = sorted(f"{digest},{split}" for digest, parts in splits.items() for split in parts)
    publish_text(folder / EARLIER, "\n".join(["sha256,split", *lines]) + "\n")


def earlier_splits(folder: Path) -> Mapping[str, set[str]]:
    """Return what such a table in a run's folder says; nothing where there is none. Raises FtError for one that cannot
    be read."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    path = folder / EARLIER
    if not path.exists():
        return found
    try:
        rows = [line.split(",") for line in read_text(path, MOST_TABLE).splitlines()]
    except (OSError, ValueError) as error:
        raise FtError(f"cannot tell which images trained the runs before: {path}: {error}") from error
    if not rows or rows[0] != ["sha256", "split"] or any(len(row) != 2 for row in rows):
        raise FtError(f"cannot tell which images trained the runs before: {path} has no columns sha256, split")
    for digest, split in rows[1:]:
        found[digest].add(split)
    return found


def check_same_images(path: Path, data: ImageData) -> None:
    """Raise FtError, naming the first that differ, unless `data` has the images that the table at `path` lists.

    Where they lie does not matter, but their order, content, class and split do.
    """
    before, now = _read(path), _rows(data)
    if [row[1:] for row in before] == [row[1:] for row in now]:
        return
    changes = list(_changes(before, now))
    listed = "".join(f"\n  {line}" for line in first_lines(changes))
    raise FtError(
        f"{path.parent} cannot go on as it began: {len(changes)} of {len(before)} images changed since then:{listed}\n"
        "Undo that, or start a new run"
    )


@contextmanager
def may_have_moved(stopped: bool) -> Iterator[None]:
    """Add to an FtError inside, where a run goes on, that images which lie elsewhere now may be."""
    try:
        yield
    except FtError as error:
        if not stopped:
            raise
        raise FtError(f"{error}\nIf the images only lie elsewhere now, say where: --data PATH") from None


def keep_image_list(path: Path, data: ImageData) -> str:
    """Bring the table at `path` up to date, which lists the images of `data`; say so where they lie elsewhere now."""
    before, now = _read(path), _rows(data)
    moved = [(old[0], new[0]) for old, new in zip(before, now, strict=True) if old[0] != new[0]]
    if not moved:
        return ""
    write_image_list(path, data)
    example = " is now ".join(moved[0])
    return f"{len(moved)} of {len(now)} images lie elsewhere than {path} said, with the same content: {example}"


def _read(path: Path) -> list[Row]:
    return _table(path)[1]


def _table(path: Path) -> tuple[Row, list[Row]]:
    """The columns of the table, and its rows."""
    try:
        file = io.StringIO(read_text(path, MOST_TABLE), newline="")
        rows = [tuple(row) for row in csv.reader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise FtError(f"cannot tell whether the images are those of {path}: {error}") from error
    if not rows or rows[0][: len(COLUMNS)] != COLUMNS or any(len(row) != len(rows[0]) for row in rows):
        raise FtError(f"cannot tell whether the images are those of {path}: it has no columns {', '.join(COLUMNS)}")
    return rows[0], rows[1:]


def _line(row: Row) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)  # it quotes only those line ends that it writes itself
    return text.getvalue().removesuffix("\r\n") + "\n"


def _rows(data: ImageData) -> list[Row]:
    splits = (("train", data.train), ("val", data.val), ("test", data.test))
    return [
        _row(listed_name(item.picture), item.label, split, data.digests[item.picture.name])
        for split, items in splits
        for item in items
    ]


def _row(path: str, label: Label, split: str, digest: str) -> Row:
    return (path, label, split, digest) if isinstance(label, str) else (path, "", split, digest, *label.values())


def _columns(data: ImageData) -> Sequence[str]:
    label = data.train[0].label
    return () if isinstance(label, str) else tuple(label)


def listed_name(picture: Picture) -> str:
    """What the table calls an image: its absolute path, or its key where there is no file; bytes that are no UTF-8 are
    spelt out."""
    name = picture.name if picture.path is None else os.path.abspath(picture.path)
    return as_text(name)


def _changes(before: Sequence[Row], now: Sequence[Row]) -> Iterator[str]:
    old, new = _by_place(before), _by_place(now)
    for place in dict.fromkeys([*old, *new]):
        if place not in new:
            yield f"{old[place][0]} is gone, or cannot be read"
        elif place not in old:
            yield f"{new[place][0]} is new"
        elif old[place][1:] != new[place][1:]:
            was, became = old[place], new[place]
            moved = f"was {_role(was)}, is {_role(became)}"
            yield f"{became[0]} {'has another content' if was[3] != became[3] else moved}"


def _role(row: Row) -> str:
    _, label, split, _, *values = row
    return f"'{', '.join(values) or label}' in {split}"


def _by_place(rows: Sequence[Row]) -> dict[str, Row]:
    """Rows by their path inside the folder that holds all, which may lie elsewhere by now."""
    folders = [os.path.dirname(row[0]) for row in rows if os.path.isabs(row[0])]
    root = os.path.commonpath(folders) if folders else ""
    return {row[0].removeprefix(root): row for row in rows}
