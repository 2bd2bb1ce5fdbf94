"""What is known of every trial, in Optuna's storage, which workers share: who takes which trial, and what came of it.

A trial is Optuna's from its first moment to its last. One whose worker is gone stays the same trial: another worker
takes it, with its values, its folder and its checkpoint. So each is counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from ft.errors import FtError
from ft.text.redaction import shown
from ft.tuning.choosers import GRID, choosing, pruner_of, sampler_of, seed_of
from ft.tuning.holding import Watch, me
from ft.tuning.records import STUDY, State, SweepFile, Trial
from ft.tuning.space import Choices, Over, grid_of
from ft.weights.lock import one_at_a_time

MOST_TAKEN = 3
"""Workers that may be gone over one trial, before it is the trial's fault."""
ENOUGH = 10
"""Trials that came to a figure, of which it is asked what matters."""
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.WAITING: "waiting",
}


P = ParamSpec("P")
R = TypeVar("R")


class StorageFailed(FtError):
    """The storage that workers share cannot be reached, or not be written to."""


def _reached(method: Callable[Concatenate[Study, P], R]) -> Callable[Concatenate[Study, P], R]:
    """A method that raises StorageFailed where the storage does not answer."""

    @wraps(method)
    def reaching(study: Study, /, *args: P.args, **named: P.kwargs) -> R:
        with _explained(study.address):
            return method(study, *args, **named)

    return reaching


@dataclass(frozen=True)
class Taken:
    """A trial that this process works on: what was chosen for each key, by name; how many workers took it before, and
    the seconds that they spent."""

    trial: Trial
    chosen: Mapping[str, float | str]
    before: int
    spent: float


class Study:
    """All trials of a sweep, as its workers know them."""

    def __init__(self, folder: Path, file: SweepFile, space: tuple[Over, ...], storage: str | None) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._folder, self._file, self._space = folder, file, space
        self.address = storage
        self._grid = grid_of(space) if file.asked.sampler["use"] == GRID else ()
        self._watch = Watch()
        self._storage = _open_storage(folder, storage)
        with _explained(storage):
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=file.study,
                sampler=sampler_of(file.asked.sampler, file.seed),
                pruner=pruner_of(file.asked.pruner),
                direction="maximize" if file.larger_is_better else "minimize",
                load_if_exists=True,
            )
        self._id = self._storage.get_study_id_from_name(file.study)
        self._check_same(storage)

    @_reached
    def take(self, fresh: bool = True) -> Taken | None:
        """A trial to work on, which is this process's from then on: one that nobody works on any more, or while there
        are fewer than are wanted, a `fresh` one. None where there is nothing to take, now or ever."""
        with self._alone():
            for each in self._known():
                if each.state is TrialState.RUNNING and self._nobody_holds(each):
                    return self._held(each.number)
            if not fresh or len(self._known()) >= self._file.trials:
                return None
            number = self._study.ask().number
            if sum(each.number < number for each in self._known()) >= self._file.trials:
                self._note(number, surplus=True)  # a worker that shares the database and no folder was faster
                self._study.tell(number, state=TrialState.FAIL)
                return None
            return self._held(number)

    @_reached
    def beat(self, number: int, beats: int, spent: float) -> bool:
        """Say that this process still works on a trial, and for how long. Return whether it is still its own."""
        trial = self._frozen(number)
        if trial.state.is_finished() or trial.user_attrs.get("held") != str(me()):
            return False
        self._note(number, beat=beats, spent=spent)
        return True

    @_reached
    def let_go(self, number: int, spent: float) -> None:
        """Say that nobody works on a trial any more, which was stopped and may go on."""
        self._note(number, held=None, spent=spent, taken=0)

    @_reached
    def is_hopeless(self, number: int, epoch: int, figure: float) -> bool:
        """Put on record what a trial came to after an epoch, and tell whether the pruner ends it."""
        trial = optuna.trial.Trial(self._study, self._trial_id(number))
        trial.report(figure, epoch)
        return trial.should_prune()

    @_reached
    def end(self, trial: Trial) -> bool:
        """Put on record what became of a trial. Return whether it was this process's to say."""
        with self._alone():
            frozen = self._frozen(trial.number)
            if frozen.state.is_finished() or frozen.user_attrs.get("held") != str(me()):
                return False
            self._note(trial.number, spent=trial.seconds, why=trial.why, epochs=trial.epochs)
            state = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(trial.state, TrialState.FAIL)
            values = None if state is not TrialState.COMPLETE else trial.figure
            self._study.tell(trial.number, values, state)
            return True

    @_reached
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number."""
        return tuple(self._record(each) for each in self._known())

    @_reached
    def importance(self) -> dict[str, float] | None:
        """What share of the differences between trials each key accounts for, the largest first; None where too few
        trials tell, or all came to the same."""
        done = [each for each in self._known() if each.state is TrialState.COMPLETE]
        if len(done) < ENOUGH or len({each.value for each in done}) < 2:
            return None
        found = optuna.importance.get_param_importances(self._study)
        return {name: float(share) for name, share in found.items()}

    def _check_same(self, storage: str | None) -> None:
        """Raise FtError where the storage has another sweep of this name."""
        asked = self._file.asked.model_dump(mode="json") | {"figure": self._file.figure, "seed": self._file.seed}
        with self._alone():
            before = self._study.user_attrs.get("asked")
            if before is None:
                self._study.set_user_attr("asked", asked)
            elif before != asked:
                where = shown(storage) if storage else self._folder
                raise FtError(
                    f"{where} has another sweep '{self._file.study}', with other settings; choose another --run-dir, "
                    "whose name is that of the sweep"
                )

    def _held(self, number: int) -> Taken:
        """Take a trial, and choose the values that were not chosen yet."""
        before = int(self._frozen(number).user_attrs.get("taken", 0))
        self._note(number, held=str(me()), beat=0, taken=before + 1)
        sampler = sampler_of(self._file.asked.sampler, seed_of(self._file.seed, number))
        if self._grid:
            sampler = choosing(self._grid[number % len(self._grid)], sampler)
        self._study.sampler = sampler
        trial = optuna.trial.Trial(self._study, self._trial_id(number))
        chosen = {over.name: _suggest(trial, over) for over in self._space}
        frozen = self._frozen(number)
        return Taken(self._record(frozen), chosen, before, float(frozen.user_attrs.get("spent", 0.0)))

    def _nobody_holds(self, trial: FrozenTrial) -> bool:
        held: str | None = trial.user_attrs.get("held", "")
        return self._watch.is_gone(trial.number, held, int(trial.user_attrs.get("beat", 0)))

    def _record(self, trial: FrozenTrial) -> Trial:
        about = trial.user_attrs
        state: State = _STATES.get(trial.state, "waiting" if about.get("held", "") is None else "running")
        chosen = {over.name: trial.params[over.name] for over in self._space if over.name in trial.params}
        reported = trial.intermediate_values
        figure = trial.value if trial.state is TrialState.COMPLETE else reported[max(reported)] if reported else None
        return Trial(
            number=trial.number,
            state=state,
            values={over.name: over.said(chosen[over.name]) for over in self._space if over.name in chosen},
            numbers=chosen,
            figure=figure,
            seconds=float(about.get("spent", 0.0)),
            epochs=int(about.get("epochs", max(reported, default=0))),
            why=str(about.get("why", "")),
        )

    def _known(self) -> list[FrozenTrial]:
        """The trials that are counted, as they are now."""
        every = self._storage.get_all_trials(self._id, deepcopy=False)
        return sorted((each for each in every if "surplus" not in each.user_attrs), key=lambda each: each.number)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._trial_id(number))

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _note(self, number: int, **about: Any) -> None:
        for name, value in about.items():
            self._storage.set_trial_user_attr(self._trial_id(number), name, value)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A block in which no other worker that shares the folder takes or ends a trial."""
        with one_at_a_time(self._folder / ".taking.lock", self._folder / STUDY, 60):
            yield


def _suggest(trial: optuna.trial.Trial, over: Over) -> float | str:
    """What is chosen for a key: what was before, where it was."""
    if isinstance(over, Choices):
        return str(trial.suggest_categorical(over.name, over.texts))
    if over.whole:
        step = int(over.step or 1)
        return trial.suggest_int(over.name, int(over.low), int(over.high), step=step, log=over.log)
    return trial.suggest_float(over.name, over.low, over.high, step=over.step, log=over.log)


class _KernelLock(JournalFileOpenLock):
    """The journal's lock, which a process that is killed holds no longer; Optuna's own would keep others waiting."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def open_database(address: str) -> BaseStorage:
    """The storage at an address. Raises FtError where there is none, or a library is missing."""
    with _explained(address, ImportError, ValueError):
        return get_storage(address)


def _open_storage(folder: Path, address: str | None) -> BaseStorage:
    if address is None:
        return JournalStorage(JournalFileBackend(str(folder / STUDY), _KernelLock(folder / ".study.lock")))
    return open_database(address)


@contextmanager
def _explained(address: str | None, *besides: type[Exception]) -> Iterator[None]:
    """Turn what Optuna, or the library of a database, raises about an address into a StorageFailed."""
    try:
        yield
    except Exception as error:
        ours = isinstance(error, (StorageInternalError, *besides))
        if not ours and type(error).__module__.partition(".")[0] != "sqlalchemy":
            raise
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        example = "sqlite:///FILE, or as postgresql://HOST/DATABASE with the library of that database"
        raise StorageFailed(f"--storage {shown(address or '')}: {shown(said)}. Write an address as {example}") from None
