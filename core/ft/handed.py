"""What Python is handed by the front page: records that print as the commands do."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ft.lr_finding import FoundRates
from ft.lr_shown import show_rates
from ft.machine.display import Display
from ft.machine.python_display import printed
from ft.plan.records import Plan as PlainPlan
from ft.plan.text import print_phases
from ft.run.folds_text import print_folds
from ft.run.records import FoldsFile, Spread


class Shown:
    """What `print` and a notebook show of a record is what the command line prints."""

    def show(self, display: Display) -> None:
        """Print it."""
        raise NotImplementedError

    def __str__(self) -> str:
        return printed(self.show)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True, repr=False)
class Plan(Shown, PlainPlan):
    """Exactly what a run will do; `print(plan)` is what `ft plan` prints. Of a run in phases it is the plan of the
    first, and those of the others are in `later`."""

    later: tuple[PlainPlan, ...] = ()

    def show(self, display: Display) -> None:
        print_phases((self, *self.later), display)

    def __repr__(self) -> str:
        return f"<plan for {self.backbone} and {self.data}, {self.digest()}>"


@dataclass(frozen=True, repr=False)
class FinishedFolds(Shown):
    """All folds of a cross-validation: their folder (an absolute path), those of their runs, each of which `ft.load`
    takes, and the spread of every figure, by its name, on validation and on test images."""

    path: Path
    runs: tuple[Path, ...]
    summary: FoldsFile

    @property
    def val(self) -> Mapping[str, Spread]:
        return self.summary.val

    @property
    def test(self) -> Mapping[str, Spread]:
        """Empty where there are no test images."""
        return self.summary.test

    def show(self, display: Display) -> None:
        print_folds(self.summary, from_here(self.path), display)

    def __repr__(self) -> str:
        return f"<{len(self.runs)} folds in {self.path}>"


@dataclass(frozen=True, repr=False)
class Rates(Shown, FoundRates):
    """Losses by learning rate; `print(rates)` is what `ft lr-find` prints. What is suggested are keywords of
    `ft.finetune`: `ft.finetune(..., **rates.keywords)`."""

    def show(self, display: Display) -> None:
        show_rates(self, "", display)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={rate:g}" for name, rate in self.keywords.items())
        return f"<learning rates of {self.backbone} on {self.data}: {said or 'nothing is suggested'}>"


def from_here(path: Path) -> Path:
    """A path as one would type it in the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
