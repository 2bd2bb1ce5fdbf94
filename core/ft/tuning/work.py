"""What a worker does: it takes one trial after the other, until none is left, here or at any other worker."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.machine.display import Display
from ft.machine.progress import Bar
from ft.tuning.folder import Sweep
from ft.tuning.records import Trial
from ft.tuning.study import Study
from ft.tuning.text import line_of
from ft.tuning.trial import run_trial

LOOKS = 1.0
"""Seconds between two looks at what other workers do."""
FIRST = 5
"""Failures without any success after which a sweep stops: what is wrong is wrong with all trials."""


@dataclass
class Progress:
    """What people see of a sweep meanwhile: a bar with how many trials have ended, and a line for each that does."""

    sweep: Sweep
    display: Display
    bar: Bar
    _began: float = field(default_factory=time.monotonic)
    _told: set[int] | None = None
    _ended_at: list[float] = field(default_factory=list)

    def look(self, trials: tuple[Trial, ...], now: str = "") -> None:
        """Show how far it is, with what happens `now`; say what has ended since the last look."""
        ended = [each for each in trials if each.ended]
        if self._told is None:  # what had ended before is no news
            self._told = {each.number for each in ended}
        for each in ended:
            if each.number not in self._told:
                self._told.add(each.number)
                self._ended_at.append(time.monotonic())
                self.display.say(line_of(each, self.sweep.figure))
        found = self.sweep.found(trials)
        best = found.best
        said = f"best {self.sweep.figure.written(best.figure)}" if best is not None and best.figure is not None else ""
        self.bar.advance(len(ended), ", ".join(filter(None, (said, now))), left=self._left(len(ended)))

    def _left(self, ended: int) -> float | None:
        """About how many seconds it still takes; None as long as no trial tells."""
        now = time.monotonic()
        if not (ended_at := self._ended_at):
            return None
        each = (ended_at[-1] - self._began) / len(ended_at)
        return max(0.0, each * (self.sweep.file.trials - ended) - (now - ended_at[-1]))


def work(sweep: Sweep, study: Study, plugins: Plugins, progress: Progress, deadline: float | None = None) -> None:
    """Run trials in this process until all that are wanted have ended, whoever runs them; after the `deadline`, in
    seconds of time.monotonic, no more begin.

    Raises FtError where the first ones all fail, and StopAsked as a run does.
    """
    failed = list[Trial]()
    while True:
        if deadline is not None and time.monotonic() > deadline:
            return
        taken = study.take()
        trials = study.trials()
        if taken is None:
            busy = [each for each in trials if not each.ended]
            if not busy:
                progress.look(trials)
                return
            progress.look(trials, f"{len(busy)} elsewhere")
            time.sleep(LOOKS)
            continue
        progress.look(trials, f"trial {taken.trial.number}")
        ended = run_trial(taken, sweep, study, plugins, progress.display)
        trials = study.trials()
        progress.look(trials)
        if ended is not None and ended.state == "failed":
            failed.append(ended)
        check_hopeful(failed, trials, sweep.file.trials)


def check_hopeful(failed: list[Trial], trials: tuple[Trial, ...], wanted: int) -> None:
    """Raise FtError where so many trials have failed that all will, or all have."""
    if any(each.state in ("done", "pruned") for each in trials) or not failed:
        return
    if len(failed) >= min(FIRST, wanted):
        reasons = dict.fromkeys(f"{each.why}" for each in failed)
        lines = "".join(f"\n  {why}" for why in reasons)
        raise FtError(f"all {len(failed)} trials failed:{lines}")
