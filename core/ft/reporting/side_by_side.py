"""Several finished runs side by side: what each came to, and each but the first beside the first."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ft.config.run_folders import check_there, folder_meant
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.tasks import Figure
from ft.reporting.comparison import Valued, Versus, told, valued, versus
from ft.reporting.finished import Finished, read_finished
from ft.run.differences import Difference, differences
from ft.run.folder import Run
from ft.run.summaries import figures_in

LETTERS = string.ascii_uppercase
"""What runs are called beside each other."""


@dataclass(frozen=True, eq=False)
class Beside:
    """A run beside the first one, or why that cannot be told."""

    letter: str
    found: Versus | str

    @property
    def said(self) -> str:
        """What people read of the two."""
        return f"{self.letter} beside A: {self.found if isinstance(self.found, str) else told(self.found)}"

    def plain(self) -> dict[str, Any]:
        """What JSON holds."""
        if isinstance(self.found, str):
            return {"run": self.letter, "problem": self.found}
        came_to = self.found.came_to
        return {"run": self.letter, **asdict(came_to), "more_than_chance": came_to.is_more_than_chance, "problem": ""}


def read_several(paths: Sequence[Path], plugins: Plugins, trust_code: bool) -> tuple[Finished, ...]:
    """Read finished runs, at least two. Raises FtError where one is none, and for more than have a letter."""
    if not 2 <= len(paths) <= len(LETTERS):
        raise FtError(f"give two runs or more, at most {len(LETTERS)}, as in ft compare runs/first runs/second")
    meant = [folder_meant(path) for path in paths]
    for path in meant:
        check_there(path)
    if twice := next((path for path in meant if meant.count(path) > 1), None):
        raise FtError(f"{twice} is given twice")
    return tuple(read_finished(Run(path), plugins, trust_code) for path in meant)


def beside_the_first(runs: Sequence[Finished]) -> tuple[Beside, ...]:
    """Every run but the first beside it."""
    first, *others = map(_valued, runs)
    return tuple(Beside(letter, _beside(first, other)) for letter, other in zip(LETTERS[1:], others, strict=False))


def asked_differently(runs: Sequence[Finished]) -> list[Difference]:
    """The keys of the config that are not the same in all runs; one that an older ft did not have counts as it is by
    default."""
    return differences([run.config.model_dump(mode="json") for run in runs])


def figures_of(run: Finished) -> dict[str, str]:
    """The saved model's figures on validation and test images by their titles, as they are written."""
    known: Mapping[str, Figure] = {figure.name: figure for figure in run.task.figures}
    parts = {"": run.report.val, "test ": run.report.test or {}}
    return {
        f"{part}{known[name].title}": known[name].written(value)
        for part, measured in parts.items()
        for name, value in figures_in(measured).items()
        if name in known
    }


def _valued(run: Finished) -> Valued | str:
    try:
        return valued(run)
    except FtError as error:
        return str(error)


def _beside(first: Valued | str, second: Valued | str) -> Versus | str:
    if isinstance(first, str) or isinstance(second, str):
        return first if isinstance(first, str) else str(second)
    try:
        return versus(first, second)
    except FtError as error:
        return str(error)
