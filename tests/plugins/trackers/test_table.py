"""The tracker `csv`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from ft.testing import told_by_run
from ft_trackers.table import Settings, track


def rows(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def tell(folder: Path, settings: Settings | None = None, **told: Any) -> None:
    listen = track(settings or Settings())
    for event in told_by_run(folder, **told):
        listen(event)


def test_there_is_a_row_for_each_epoch_under_a_header(tmp_path: Path) -> None:
    tell(tmp_path)
    columns = ["epoch", "train_loss", "train_accuracy", "lr", "seconds", "val_loss", "val_accuracy", "val_macro_f1"]
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join(columns)
    first, second = rows(tmp_path / "metrics.csv")
    assert (first["epoch"], first["train_loss"], first["val_accuracy"]) == ("1", "2.0", "0.5")
    assert (second["epoch"], second["train_loss"], second["val_accuracy"]) == ("2", "1.0", "0.75")


@pytest.mark.parametrize("begun", [True, False], ids=["from the start", "from the middle"])
def test_a_run_that_goes_on_has_each_epoch_once(begun: bool, tmp_path: Path) -> None:
    if begun:
        tell(tmp_path, fails=True)
    tell(tmp_path, before=1)
    assert [row["epoch"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2", "3"]


def test_a_fit_has_a_column_for_the_penalty(tmp_path: Path) -> None:
    tell(tmp_path, penalties=True)
    assert [row["penalty"] for row in rows(tmp_path / "metrics.csv")] == ["0.1", "0.01"]


def test_name_and_separator_are_settings(tmp_path: Path) -> None:
    tell(tmp_path, Settings(file="curves.txt", separator=";"))
    assert len(rows(tmp_path / "curves.txt", ";")) == 2


@pytest.mark.parametrize("name", ["report.json", "images.csv", "../metrics.csv", "metrics", ""])
def test_a_file_of_the_run_s_own_is_no_table(name: str) -> None:
    with pytest.raises(ValueError, match=r"ends with \.csv, \.tsv or \.txt|at least 1 character"):
        Settings(file=name)


def test_the_table_is_there_whole_while_it_is_written(tmp_path: Path) -> None:
    listen = track(Settings())
    counts = []
    for event in told_by_run(tmp_path):
        listen(event)
        counts.append(len(rows(tmp_path / "metrics.csv")) if (tmp_path / "metrics.csv").exists() else 0)
    assert counts == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
