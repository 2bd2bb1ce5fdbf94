"""One trial: a run as any other, on the straight path, that may be ended early."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display, LoggedDisplay
from ft.machine.files import CannotWrite
from ft.machine.memory import shortage
from ft.run.folder import Run
from ft.run.report import doubts
from ft.text.names import typed
from ft.tracking.events import EpochDone, Event
from ft.tracking.listener import EndedByListener
from ft.tuning.asked import trial_config
from ft.tuning.folder import Sweep
from ft.tuning.holding import beating
from ft.tuning.records import Trial
from ft.tuning.study import MOST_TAKEN, StorageFailed, Study, Taken
from ft.tuning.waiting import one_computes


class Lost(EndedByListener):
    """Another worker works on the trial now: this one gave no sign of life for too long."""


class Pruned(EndedByListener):
    """The pruner ended the trial, after an `epoch` that came to `figure`."""

    def __init__(self, why: str, epoch: int, figure: float) -> None:
        super().__init__(why)
        self.epoch, self.figure = epoch, figure


@dataclass
class _Clock:
    """The seconds that were spent on a trial, those of workers before included."""

    before: float
    began: float

    @property
    def spent(self) -> float:
        return self.before + time.monotonic() - self.began


def run_trial(taken: Taken, sweep: Sweep, study: Study, plugins: Plugins, shown: Display) -> Trial | None:
    """Run a trial that was taken, or go on with it, and put on record what became of it; None where another worker has
    it by now. What it prints is in its log; how far it is, is `shown`.

    Raises StopAsked, the trial let go and its state saved, when a signal asked to stop, and FtError where a file cannot
    be written or the storage does not answer.
    """
    clock, lost = _Clock(taken.spent, time.monotonic()), list[bool]()

    def beat(number: int) -> None:
        if not study.beat(taken.trial.number, number, clock.spent):
            lost.append(True)

    with beating(beat):
        try:
            ended = _tried(taken, sweep, study, plugins, _Listening(shown, lost))
        except Lost:
            return None
        except StorageFailed:
            raise
        except BaseException:  # it stopped, or something is wrong that is not the trial's
            study.let_go(taken.trial.number, clock.spent)
            raise
    ended = replace(ended, seconds=clock.spent)
    return ended if study.end(ended) else None


@dataclass(frozen=True)
class _Listening:
    """Where people see how far a trial is, and whether it is still this worker's."""

    shown: Display
    lost: list[bool]


def _tried(taken: Taken, sweep: Sweep, study: Study, plugins: Plugins, listening: _Listening) -> Trial:
    """What became of a trial. What is wrong with it alone is its failure, and no other's."""
    trial, log = taken.trial, sweep.log(taken.trial.name)
    if taken.before >= MOST_TAKEN:
        why = f"its worker was gone {taken.before} times, as where memory ran out and the system killed it"
        return replace(trial, state="failed", why=why)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        try:
            return _run(taken, sweep, study, plugins, (listening, LoggedDisplay(file, listening.shown)))
        except Pruned as pruned:
            return replace(trial, state="pruned", why=str(pruned), epochs=pruned.epoch, figure=pruned.figure)
        except (CannotWrite, StorageFailed):
            raise  # a full disk is no fault of this trial, and all others would meet it
        except FtError as error:
            return replace(trial, state="failed", why=str(error))
        except Exception as error:
            traceback.print_exc(file=file)
            said = shortage(error) or f"{type(error).__name__}: {error}"
            return replace(trial, state="failed", why=f"{said} (see {log})")


def _run(taken: Taken, sweep: Sweep, study: Study, plugins: Plugins, to: tuple[_Listening, Display]) -> Trial:
    listening, display = to
    trial, run = taken.trial, Run(sweep.path / taken.trial.name)
    config = _config_of(taken, sweep, run, plugins)
    if not (run.path / "report.json").is_file():
        listener, again = _listener(trial.number, sweep, study, run, listening), run if run.path.exists() else None
        with one_computes(config, sweep.path, display) as first:
            _, report = finetune(config, plugins.preferring(config.prefer), display, again, [first, listener])
        for doubt in doubts(report, run.path):
            display.warn(doubt)
    measured = run.read_json("report.json")
    figure = measured["val"].get(sweep.file.figure)
    if not isinstance(figure, int | float) or not math.isfinite(figure):
        raise FtError(f"its {sweep.file.title} is {figure}, which is no number to compare")
    return replace(trial, state="done", figure=float(figure), epochs=int(measured["epochs"]))


def _config_of(taken: Taken, sweep: Sweep, run: Run, plugins: Plugins) -> Config:
    """The config of a trial: what its folder says, where its run has begun."""
    if (run.path / "config.yaml").is_file():
        config = run.config(trust_code=True)  # the same code as that of all trials
    else:
        config = trial_config(sweep.file.asked, sweep.space, taken.chosen, plugins)
    return config.model_copy(update={"run_dir": run.path})


def _listener(number: int, sweep: Sweep, study: Study, run: Run, listening: _Listening) -> Callable[[Event], None]:
    """Who hands on what a trial's epochs came to, and ends it where it is hopeless, or not this worker's any more."""

    def listen(event: Event) -> None:
        if listening.lost:
            raise Lost("another worker took the trial")
        if not isinstance(event, EpochDone):
            return
        epoch, figure = event.record.epoch, event.record.val.get(sweep.file.figure)
        if figure is None or not math.isfinite(figure):
            return
        if study.is_hopeless(number, epoch, figure) and epoch < event.epochs:
            raise Pruned(_why(sweep, epoch, figure, run.path), epoch, figure)

    return listen


def _why(sweep: Sweep, epoch: int, figure: float, path: Path) -> str:
    said = f"{sweep.figure.title} {sweep.figure.written(figure)}"
    return f"pruned after epoch {epoch} with {said}; it would go on with: {typed('ft', 'run', '--resume', path)}"
