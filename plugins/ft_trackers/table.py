"""`csv`: a row for each epoch in a table that any spreadsheet opens."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

import ft
from ft import EpochDone, Event, PenaltyDone, RunStarted, publish_text


class Settings(ft.Settings):
    file: str = Field("metrics.csv", min_length=1, description="the table's name, in the run's folder")
    separator: Literal[",", ";", "\t"] = Field(",", description="between values; ; where a comma is in numbers")

    @field_validator("file")
    @classmethod
    def _is_no_file_of_the_run(cls, value: str) -> str:
        if Path(value).name != value or Path(value).suffix not in (".csv", ".tsv", ".txt") or value == "images.csv":
            raise ValueError("write a name that ends with .csv, .tsv or .txt, and is not images.csv, the run's own")
        return value


def track(settings: Settings) -> Callable[[Event], None]:
    """Keep a table of a run's epochs beside its other files, with a row for each one that is finished.

    The table is written anew, whole, after each epoch, from what the run itself knows of the earlier ones. So a run
    that was stopped and went on has each epoch once.
    """
    table = _Table(settings)
    return table.listen


class _Table:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.path, self.rows = settings, Path(), list[dict[str, Any]]()

    def listen(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.path = event.folder / self.settings.file
            self.rows = [_row(record) for record in event.history]
        elif isinstance(event, EpochDone | PenaltyDone):
            self.rows.append(_row(event.record))
        else:
            return
        if self.rows:
            publish_text(self.path, as_csv(self.rows, self.settings.separator))


def _row(record: Any) -> dict[str, Any]:
    return {"epoch": record.epoch, **record.figures()}


def as_csv(rows: list[dict[str, Any]], separator: str) -> str:
    """The text of a table whose columns are the keys of all rows, in the order in which they come.

    >>> as_csv([{"epoch": 1, "lr": 0.1}], ";")
    'epoch;lr\\r\\n1;0.1\\r\\n'
    """
    out = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, columns, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
