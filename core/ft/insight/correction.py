"""A table of all images in which a person corrects labels, those that something was found of first; `csv:` reads it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ft.data.load import Item
from ft.errors import FtError
from ft.extension.tasks import Label
from ft.insight.records import Known
from ft.text.names import as_text

COLUMNS = ("path", "label", "split", "suggested_label", "reason", "score")
"""Of these `csv:` reads the first three. Labels that are several columns stand behind them, each under its name."""


@dataclass
class _Found:
    """What was found of one image: the reasons in words, the score of the first, and the label that it may have."""

    reasons: list[str] = field(default_factory=list)
    score: float | None = None
    suggested: str = ""

    def add(self, reason: str, score: float) -> None:
        self.reasons.append(reason)
        self.score = score if self.score is None else self.score


def correction_table(items: Sequence[Item], splits: Sequence[str], known: Known) -> str:
    """The text of the table. Raises FtError for images that are no files, which no table can name."""
    if odd := [item.picture.name for item in items if item.picture.path is None]:
        raise FtError(f"{len(odd)} of the images are no files, as {odd[0]}, so no table can list them; use --json")
    found = _found(known)
    order = {name: place for place, name in enumerate(found)}
    rows = sorted(zip(items, splits, strict=True), key=lambda row: order.get(row[0].picture.name, len(order)))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*COLUMNS, *_columns(items[0].label)))
    for item, split in rows:
        about = found.get(item.picture.name, _Found())
        score = "" if about.score is None else f"{about.score:.4f}"
        label, values = (item.label, ()) if isinstance(item.label, str) else ("", tuple(item.label.values()))
        path = as_text(os.path.abspath(item.picture.name))
        writer.writerow((path, label, split, about.suggested, "; ".join(about.reasons), score, *values))
    return text.getvalue()


def _columns(label: Label) -> Iterator[str]:
    yield from () if isinstance(label, str) else label


def _found(known: Known) -> Mapping[str, _Found]:
    """What was found, by image: labels first, then copies, then outliers, each as they are listed."""
    found: dict[str, _Found] = {}
    for suspect in known.labels:
        about = found.setdefault(suspect.path, _Found())
        about.suggested = suspect.suggested
        about.add(f"label may be {suspect.suggested}", suspect.score)
    for copy in known.copies:
        for one, other in ((0, 1), (1, 0)):
            where = f"{as_text(copy.paths[other])} ({copy.splits[other]})"
            found.setdefault(copy.paths[one], _Found()).add(f"copy of {where}, {copy.changed}", copy.score)
    for outlier in known.outliers:
        found.setdefault(outlier.path, _Found()).add("unlike all others", outlier.score)
    return found
