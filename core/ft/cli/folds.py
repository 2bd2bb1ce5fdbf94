"""What `ft run` and `ft plan` do with all folds of a cross-validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ft.cli.ending import stopped_with_advice
from ft.config.schema import Config
from ft.cross_validation import PlannedFold, cross_validate
from ft.data.splits import Split
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.layout import Columns, print_table
from ft.run.folds import Folds
from ft.run.folds_text import print_folds
from ft.text.names import typed


def run_folds(config: Config, plugins: Plugins, display: Display, again: Folds | None = None) -> None:
    """Run all folds, or those that are left, and print what they came to."""
    folds, result = cross_validate(config, plugins, display, again)
    print_folds(result, folds.path, display)


def resume_folds(
    folds: Folds, trust_code: bool, changes: Mapping[str, Any], plugins: Plugins, display: Display
) -> None:
    """Run the folds that are left, as they were begun. Raises FtError for `changes` of their config."""
    if changes:
        one = typed("ft", "run", "--resume", folds.run(1).path)
        raise FtError(
            f"the folds in {folds.path} go on as they were begun; leave out what would change {', '.join(changes)}, or "
            f"go on with one fold after the other: {one}"
        )
    config = folds.config(trust_code)
    if (started := folds.started_in()) != Path.cwd():
        display.say(f"working in {started}, where the folds were started")
        folds = Folds(folds.path.absolute())
        os.chdir(started)
    with stopped_with_advice("goes on", display):
        run_folds(config, plugins.preferring(config.prefer), display, folds)


def print_planned_folds(folds: Sequence[PlannedFold], display: Display) -> None:
    """How many images, and groups, each fold has; nothing where there are no folds."""
    if not folds:
        return
    display.tell("")
    display.tell(
        f"ft run trains {len(folds)} times, once for each fold, and sums up; above is the plan of the first. What is "
        "computed once is computed once for all"
    )
    display.tell("")
    every: tuple[Split, ...] = ("train", "val", "test")
    parts = [part for part in every if part in folds[0].images]
    headers = ("fold", *parts, *(f"{part} groups" for part in parts if folds[0].groups))
    rows = [
        (
            each.fold,
            *(each.images.get(part, 0) for part in parts),
            *(each.groups.get(part, 0) for part in parts if each.groups),
        )
        for each in folds
    ]
    print_table(headers, rows, Columns(right=headers), console=display.out)
