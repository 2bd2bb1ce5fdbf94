"""What came of all folds as people read it: a table with a row for each, their mean and their deviation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ft.machine.display import Display
from ft.machine.layout import Columns, print_pairs, print_table
from ft.run.records import FoldsFile, Spread, to_predict


def print_folds(result: FoldsFile, folder: Path, display: Display) -> None:
    """The figures of every fold and their spread, on validation and on test images, and where the runs lie."""
    display.tell("")
    _print_part(result, "val", "validation, each image in one fold", display)
    if result.test:
        _print_part(result, "test", "test, the same images for every fold", display)
    first = result.finished[0].run
    pairs = [("runs", f"{folder / first} and so on"), ("use one", to_predict(folder / first))]
    print_pairs(pairs, display.out)


def said(figures: Mapping[str, float]) -> str:
    """Figures in one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def _print_part(result: FoldsFile, part: str, title: str, display: Display) -> None:
    spread: Mapping[str, Spread] = getattr(result, part)
    means = {name: each.mean for name, each in spread.items()}
    deviations = {name: each.deviation for name, each in spread.items()}
    rows = [*((str(each.fold), getattr(each, part) or {}) for each in result.finished), ("mean", means)]
    cells = [(name, *(_cell(figures.get(each)) for each in spread)) for name, figures in rows]
    cells.append(("deviation", *map(_cell, deviations.values())))
    display.tell(f"{title} (the deviation is that of a sample, with n - 1)")
    display.tell("")
    print_table(("fold", *spread), cells, Columns(right=tuple(spread)), console=display.out)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
