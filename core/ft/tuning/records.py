"""What a sweep is: what was asked for, as sweep.json keeps it, its trials, and what came of them all.

sweep.json     what was asked for, and by which figure trials are compared
study          what is known of every trial, in the form of Optuna's journal, unless a database holds it
trial-0007     the folder of a run, for each trial
logs           what each trial, and each worker, printed
sweep.html     what came of it, as a page
results.json   the same as plain data
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ft.errors import FtError
from ft.extension.settings import Section
from ft.extension.tasks import Figure
from ft.run.records import RunFile
from ft.text.durations import parse_duration
from ft.text.names import typed

STUDY, PAGE, RESULTS = "study", "sweep.html", "results.json"
TRIALS = 20
"""Trials where nobody says how many."""
State = Literal["done", "pruned", "failed", "running", "waiting"]
"""What became of a trial. One that waits was interrupted, and goes on when somebody joins."""


class SweepConfig(Section):
    """The section `sweep` of a config file for `ft sweep`. The keys are those of the flags, which win over it."""

    over: dict[str, Any] = Field({}, description="the keys to sweep over, each with its values or its range")
    trials: int | None = Field(None, ge=1, description="how many trials there are in all")
    sampler: str | dict[str, Any] | None = Field(None, description="who chooses the values")
    pruner: str | dict[str, Any] | None = Field(None, description="who ends trials early")
    timeout: str | None = Field(None, description="after so long, as 2h, no trial begins any more")
    storage: str | None = Field(None, description="the address of a database, as Optuna takes it")
    parallel: int = Field(1, ge=1, le=256, description="trials at once on this machine")

    @property
    def seconds(self) -> float | None:
        """The timeout. Raises FtError for what is no time."""
        if self.timeout is None:
            return None
        try:
            return parse_duration(self.timeout)
        except ValueError as error:
            raise FtError(f"--timeout {self.timeout}: {error}") from None


class Asked(RunFile, extra="forbid"):
    """What a sweep's trials have in common, as it was typed: what a config file says, `--set` and flags, by the keys of
    the config; over what it goes, and who chooses and prunes."""

    over: dict[str, Any]
    content: dict[str, Any]
    sets: tuple[str, ...] = ()
    flags: dict[str, Any]
    sampler: dict[str, Any]
    pruner: dict[str, Any]


class SweepFile(RunFile, extra="allow"):
    """sweep.json. `trials` is how many there are to be in all, and `study` what the storage calls the sweep."""

    format: Literal[1] = 1
    asked: Asked
    trials: int = Field(ge=1)
    storage: str | None = None
    study: str
    seed: int
    figure: str
    title: str
    form: str
    larger_is_better: bool
    started_in: str | None = None


@dataclass(frozen=True)
class Trial:
    """A trial: what it set, by the keys' names and as it is read, its figure on validation images, how long it took,
    and in which folder of the sweep its run is. `why` says why it failed or was pruned."""

    number: int
    state: State
    values: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    figure: float | None = None
    seconds: float = 0.0
    epochs: int = 0
    why: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"trial-{self.number:04d}"

    @property
    def ended(self) -> bool:
        return self.state in ("done", "pruned", "failed")

    def plain(self) -> dict[str, Any]:
        """What results.json holds of it."""
        about = {"number": self.number, "state": self.state, "values": dict(self.values), "figure": self.figure}
        return {**about, "seconds": round(self.seconds, 3), "epochs": self.epochs, "run": self.name, "why": self.why}


@dataclass(frozen=True)
class Swept:
    """What came of a sweep, in its `folder`: all trials by number, and what share of the differences between them each
    key accounts for, the largest first; None where too few trials tell. It may name code by file or module."""

    folder: Path
    figure: Figure
    wanted: int
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] | None = None
    names_code: bool = False

    def go_on(self, *words: object) -> str:
        """The command with which the sweep goes on; with --trust-code where it names code by file or module."""
        return typed("ft", "sweep", "--join", self.folder, *words, *(["--trust-code"] if self.names_code else []))

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """Trials that came to a figure, the best first; of equals, the one that took less time."""
        done = [each for each in self.trials if each.state == "done" and each.figure is not None]
        return tuple(sorted(done, key=lambda each: (self.merit(each), each.seconds)))

    @property
    def best(self) -> Trial | None:
        return self.ranked[0] if self.ranked else None

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other one beats in both figure and time (Pareto's front), the fastest first."""
        front = list[Trial]()
        for each in sorted(self.ranked, key=lambda each: (each.seconds, self.merit(each))):
            if not front or self.merit(each) < self.merit(front[-1]):
                front.append(each)
        return tuple(front)

    def merit(self, trial: Trial) -> float:
        """By which to sort, the best first."""
        value = trial.figure if trial.figure is not None else float("nan")
        return -value if self.figure.larger_is_better else value

    def count(self, state: State) -> int:
        return sum(each.state == state for each in self.trials)

    def plain(self) -> dict[str, Any]:
        """What results.json holds."""
        best = self.best
        return {
            "figure": self.figure.name,
            "larger_is_better": self.figure.larger_is_better,
            "wanted": self.wanted,
            "best": None if best is None else best.number,
            "front": [each.number for each in self.front],
            "importance": None if self.importance is None else dict(self.importance),
            "trials": [each.plain() for each in self.trials],
        }


def check_installed() -> None:
    """Raise FtError where Optuna is missing, without which there is no sweep."""
    if find_spec("optuna") is None:
        raise FtError("ft sweep takes optuna, which is not installed: pip install 'ftkit[sweep]'")
