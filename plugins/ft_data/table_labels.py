"""Which label each row of a table has: the text of one column, or the texts of several by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ft import FtError, Label, did_you_mean, number_of
from ft_data.table_format import Row

Place = int | Mapping[str, int]
"""Where in a row its label is: in one column, or in several, by their names."""
Unlabelled = Literal["auto", "fail", "skip", "keep"]
_BETWEEN = ";"
"""What stands between the names of several labels."""


@dataclass(frozen=True)
class Labelled:
    """The rows that have a label, the label of each, and the rows that lack one."""

    rows: Sequence[Row]
    labels: Sequence[Label]
    without: Sequence[Row]


def columns_of(path: Path, header: Sequence[str], wanted: Sequence[str]) -> Mapping[str, int]:
    """Return where the `wanted` columns of a table are. Raises FtError for one that it has not, or has twice."""
    for name in wanted:
        if wanted.count(name) > 1:
            raise FtError(f"data.columns names '{name}' {wanted.count(name)} times; name each column once")
        if name not in header:
            raise FtError(
                f"{path} has no column '{name}', which data.columns names; its first line names: {', '.join(header)}."
                f"{did_you_mean(name, header)}"
            )
        if header.count(name) > 1:
            raise FtError(f"{path} has several columns '{name}', which data.columns names; give them different names")
    return {name: header.index(name) for name in wanted}


def by_label(rows: Sequence[Row], place: Place, missing: Collection[str], unlabelled: Unlabelled) -> Labelled:
    """Part the rows with a label from those without: where the text is one of `missing`, in any case, or all are.

    With `unlabelled` "keep" those have a label, too, an empty one; with "auto" those whose text is empty, where others
    are names with ";" between them: such an image has none of them.
    """
    absent = {"", *(text.casefold() for text in missing)}
    labels = [_label(cells, place, absent) for _, cells in rows]
    several = any(isinstance(label, str) and _BETWEEN in label for label in labels)

    def has_one(cells: Sequence[str], label: Label) -> bool:
        if label if isinstance(label, str) else any(label.values()):
            return True
        is_empty = isinstance(place, int) and not cells[place].strip()
        return unlabelled == "keep" or (unlabelled == "auto" and several and is_empty)

    kept = [(row, label) for row, label in zip(rows, labels, strict=True) if has_one(row[1], label)]
    left = [row for row, label in zip(rows, labels, strict=True) if not has_one(row[1], label)]
    return Labelled([row for row, _ in kept], [label for _, label in kept], left)


def no_labels(path: Path, rows: Sequence[Row], at: int, place: Place) -> str:
    """What to say of rows without a label, whose images stand `at` a column."""

    def told(cells: Sequence[str]) -> str:
        return f"{cells[at]}, '{cells[place]}'" if isinstance(place, int) else cells[at]

    listed = "\n".join(f"  line {line}: {told(cells)}" for line, cells in rows[:20])
    more = f"\n  ... and {len(rows) - 20} more" if len(rows) > 20 else ""
    empty = isinstance(place, int) and any(not cells[place].strip() for _, cells in rows)
    none = ", or say with --set data.unlabelled=keep that such an image has none of several labels" if empty else ""
    places = [place] if isinstance(place, int) else list(place.values())
    has_text = any(cells[each].strip() for _, cells in rows for each in places)
    text = ". If such a text is a class, say so with --set 'data.missing=[]'" if has_text else ""
    return (
        f"{number_of(len(rows), f'image in {path} has', f'images in {path} have')} no label:\n{listed}{more}\n"
        f"Give them one, or leave them out with --set data.unlabelled=skip{none}{text}"
    )


def _label(cells: Sequence[str], place: Place, absent: Collection[str]) -> Label:
    def text(at: int) -> str:
        plain = cells[at].strip()
        return "" if plain.casefold() in absent else plain

    return text(place) if isinstance(place, int) else {name: text(at) for name, at in place.items()}
