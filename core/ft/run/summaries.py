"""The runs in a folder, each in a few words: what it was, how far it came, and what it came to. Loads no torch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ft.config.files import read_tree
from ft.config.run_folders import check_there, runs_in
from ft.errors import FtError
from ft.machine.files import explained
from ft.run.records import FOLDS, FoldsFile, ReportFile, read_record
from ft.text.reading import read_text

State = Literal["finished", "stopped", "folds", "unreadable"]


@dataclass(frozen=True)
class Summary:
    """One run, or all folds of a cross-validation, of which figures are means.

    `done` are the epochs, or the folds, that are finished, `of` those that were asked for. `val` and `test` are the
    saved model's figures by their names, empty before there is one. `ended` is when its files were written last, in
    seconds since 1970. `problem` says why it is unreadable.
    """

    path: Path
    state: State
    ended: float
    backbone: str = ""
    task: str = ""
    freeze: tuple[str, ...] = ()
    done: int = 0
    of: int = 0
    val: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def summaries_in(folder: Path) -> list[Summary]:
    """All runs in a folder, the one that was written last first.

    Raises FtError where there is no such folder, or it cannot be looked into.
    """
    check_there(folder)
    with explained(folder):
        os.listdir(folder)
    return sorted((summary_of(folder / name) for name in runs_in(folder)), key=lambda each: -each.ended)


def summary_of(path: Path) -> Summary:
    """What a run's folder says of it; a file in it that cannot be read is a `problem`, so that it costs no other run
    its line."""
    ended = max(_written(path))
    try:
        asked = _asked(read_tree(path / "config.yaml"))
        if (path / FOLDS).is_file():
            folds = read_record(path / FOLDS, FoldsFile)
            val, test = ({name: each.mean for name, each in part.items()} for part in (folds.val, folds.test))
            return Summary(path, "folds", ended, *asked[:3], len(folds.finished), folds.folds, val, test)
        if (path / "report.json").is_file():
            report = read_record(path / "report.json", ReportFile)
            val, test = figures_in(report.val), figures_in(report.test or {})
            return Summary(path, "finished", ended, *asked[:3], report.epochs, report.epochs, val, test)
        return Summary(path, "stopped", ended, *asked[:3], _epochs(path), asked[3])
    except FtError as error:
        return Summary(path, "unreadable", ended, problem=str(error))


def figures_in(measured: Mapping[str, Any]) -> dict[str, float]:
    """The figures in a report's `val` or `test`, as they stand in report.json: numbers, each under its name."""
    found = measured.get("figures", measured)
    numbers = {name: value for name, value in found.items() if isinstance(value, float | int)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _asked(config: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...], int]:
    """Backbone, task, freeze and epochs, as a run's config names them; of a run in phases, the freeze of the last one,
    and the epochs of all."""
    training = config.get("training")
    epochs = training.get("epochs") if isinstance(training, Mapping) else None
    freeze = config.get("freeze") or ()
    phases = config.get("phases")
    if isinstance(phases, list) and phases and all(isinstance(each, Mapping) for each in phases):
        each = [phase.get("epochs", epochs) for phase in phases]
        epochs = sum(some for some in each if isinstance(some, int))
        freeze = phases[-1].get("freeze", freeze) or ()
    named = tuple(map(_use, freeze)) if isinstance(freeze, list) else (_use(freeze),) if freeze else ()
    return _use(config.get("backbone")), _use(config.get("task", "")), named, epochs if isinstance(epochs, int) else 0


def _use(component: Any) -> str:
    return str(component.get("use", "?")) if isinstance(component, Mapping) else str(component or "")


def _epochs(path: Path) -> int:
    """How many epochs a run that is not done has on record."""
    try:
        lines = read_text(path / "metrics.jsonl").splitlines()
        return int(json.loads(lines[-1])["epoch"]) if lines else 0
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FtError(f"cannot read {path / 'metrics.jsonl'}: {error}") from None


def _written(path: Path) -> Iterator[float]:
    yield path.stat().st_mtime
    for each in path.iterdir():
        if each.is_file():
            yield each.stat().st_mtime
