"""ft for people who write Python: `ft.plan`, `ft.finetune` and `ft.load` do what the commands do.

Nothing is printed unless it is asked for. Warnings are Python's, of the category `ft.FtWarning`; a mistake is an
`FtError`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Unpack

from pydantic import TypeAdapter

from ft.config.keywords import Keywords, Source, Where, changes_of, config_of
from ft.config.run_folders import folder_meant
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.config.use import OnMachine
from ft.cross_validation import asks_for_all_folds, cross_validate as cross_validation
from ft.errors import FtError
from ft.extension.installed import Plugins, load_plugins, troubles
from ft.finetune import finetune as straight_path, plan_phases
from ft.handed import FinishedFolds, Plan, Rates, Shown, from_here
from ft.inference.load import load_trained
from ft.inference.loaded import LoadedModel
from ft.lr_finding import FoundRates, find_rates
from ft.machine.display import Display
from ft.machine.distributed import check_divided, processes_asked_for
from ft.machine.ownership import strange_run
from ft.machine.python_display import PythonDisplay
from ft.machine.randomness import one_run_at_a_time
from ft.machine.signals import StopAsked
from ft.plan.records import Plan as PlainPlan
from ft.run.folder import Run
from ft.run.folds import Folds
from ft.run.report import Report, doubts
from ft.run.report_text import print_report
from ft.text.reading import read_text
from ft.tracking.trackers import check_trackers


@dataclass(frozen=True, repr=False)
class FinishedRun(Shown):
    """A run that is done: its folder (an absolute path) and its report; `print(run)` is what `ft run` prints last.

    Where a run's folder is asked for, it stands for it, as in `ft.load(run)`.
    """

    path: Path
    report: Report

    @property
    def plan(self) -> Plan:
        """The plan that was obeyed, of a run that went on its last. Raises FtError where it is gone."""
        Run(self.path).plan_file()
        return TypeAdapter(Plan).validate_json(read_text(self.path / "plan.json"))

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def load(self, **how: Any) -> LoadedModel:
        """The run's model, as `ft.load` loads it."""
        return load(self.path, **how)

    def show(self, display: Display) -> None:
        print_report(self.report, from_here(self.path), display)

    def __repr__(self) -> str:
        figure = self.report.val.about[0]
        return f"<run in {self.path}, {figure.title} {figure.written(self.report.val[figure.name])}>"


def plan(source: Source | None = None, /, *, verbose: bool = False, **settings: Unpack[Keywords]) -> Plan:
    """Decide what `ft.finetune` would do with the same arguments; train nothing, and fetch nothing that is not needed
    to tell. Of folds without one that is named, it is the plan of the first.

    `source` is the path of a config file, or a mapping as such a file holds; keywords go over it. Raises FtError, also
    while another thread trains: both would draw from the same random numbers.
    """
    display = PythonDisplay(verbose)
    plugins = installed(display)
    config = config_of(source, settings, plugins)
    plugins = plugins.preferring(config.prefer)
    check_divided(config.machine, processes_asked_for())
    with one_run_at_a_time():
        check_trackers(config, plugins, display)
        _, (first, *later) = plan_phases(config, plugins, display)
    return Plan(**{field.name: getattr(first, field.name) for field in fields(PlainPlan)}, later=tuple(later))


def find_lr(source: Source | None = None, /, *, verbose: bool = False, **settings: Unpack[Keywords]) -> Rates:
    """Train for up to 100 steps while the learning rate rises, and see where the loss falls. No run is made, and no
    weights are kept.

    The arguments are those of `plan`. Raises FtError for what the user can mend, where there is no one rate to be
    found, and while another thread trains.
    """
    display = PythonDisplay(verbose)
    plugins = installed(display)
    config = config_of(source, settings, plugins)
    found = find_rates(config, plugins.preferring(config.prefer), display)
    return Rates(**{field.name: getattr(found, field.name) for field in fields(FoundRates)})


def finetune(
    source: Source | None = None,
    /,
    *,
    resume: Where | None = None,
    trust_code: bool = False,
    verbose: bool = False,
    **settings: Unpack[Keywords],
) -> FinishedRun:
    """Fine-tune a backbone on images, in the folder of a new run, or on from where the run in `resume` stopped.

    `source` is the path of a config file, or a mapping as such a file holds; keywords go over it. Beside `resume` there
    may be those that `ft run` may be given there. `trust_code` has components imported that the run to go on with names
    by file or module. With `verbose`, it prints what `ft run` prints meanwhile, in a notebook in the cell.

    Ctrl-C, or a notebook's interrupt, saves the state at the next step and raises KeyboardInterrupt; a second one does
    so at once. Raises FtError for what the user can mend.
    """
    display = PythonDisplay(verbose)
    plugins = installed(display)
    old = None if resume is None else Run(folder_of(resume).absolute())
    if old is None:
        config = config_of(source, settings, plugins)
        if asks_for_all_folds(config):
            raise FtError(f"which fold? Write fold=1 to fold={config.split.folds}, or run all with ft.cross_validate")
    else:
        if Folds.are_in(old.path):
            raise FtError(f"{old.path} holds a run for each fold; go on with ft.cross_validate(resume=...)")
        warn_of_strangers(old.path, display)
        config = old.config(trust_code, changes_of(source, settings, plugins))
    with in_folder(old.started_in() if old else None, display), stopped_as_python_is("finetune"):
        done, report = straight_path(config, plugins.preferring(config.prefer), display, old)
        path = done.path.absolute()
    for doubt in doubts(report, from_here(path)):
        display.warn(doubt)
    return FinishedRun(path, report)


def cross_validate(
    source: Source | None = None,
    /,
    *,
    resume: Where | None = None,
    trust_code: bool = False,
    verbose: bool = False,
    **settings: Unpack[Keywords],
) -> FinishedFolds:
    """Run all of so many `folds`, each image validating in one of them, as `ft run --folds` does; or those that are
    left in the folder `resume`.

    The arguments are those of `finetune`; beside `resume` there may be no others of the config. Raises as it does.
    """
    display = PythonDisplay(verbose)
    plugins = installed(display)
    old = None if resume is None else Folds(folder_of(resume).absolute())
    if old is None:
        config = config_of(source, settings, plugins)
        if not asks_for_all_folds(config):
            raise FtError("how many folds? Write folds=5, and leave out fold; one alone is run by ft.finetune")
    else:
        if source is not None or settings:
            raise FtError("resume= runs the folds that are left as they were begun; leave out the config and its keys")
        warn_of_strangers(old.path, display)
        config = old.config(trust_code)
    with in_folder(old.started_in() if old else None, display), stopped_as_python_is("cross_validate"):
        done, result = cross_validation(config, plugins.preferring(config.prefer), display, old)
        path = done.path.absolute()
    return FinishedFolds(path, tuple(path / each.run for each in result.finished), result)


def load(
    run: Where,
    *,
    batch_size: int = PREDICT_BATCH,
    tta: str | None = None,
    trust_code: bool = False,
    **machine: Unpack[OnMachine],
) -> LoadedModel:
    """Load the model of a finished run; the keywords are the flags of `ft predict`, among them `device` ("auto"),
    `precision` ("fp32") and `workers` ("auto").

    "runs/latest" is the run in `runs` that was saved last, where nothing has that name. With `tta`, "flip" or
    "views:8", `predict` and `uncertainty` are of the average over several views of each image.

    Raises FtError where `run` is no folder of a finished run, where a plugin is missing that the model needs, where the
    run names code by file or module and `trust_code` is not given, and where it has no such views.
    """
    if unknown := sorted(set(machine) - OnMachine.__annotations__.keys()):
        raise TypeError(f"load() got an unexpected keyword argument '{unknown[0]}'")
    display, folder = PythonDisplay(), folder_meant(folder_of(run))
    warn_of_strangers(folder, display)
    how = {"precision": PREDICT_PRECISION, **machine, "tta": tta}
    trained = load_trained(Run(folder), installed(display), how, batch_size, trust_code)
    return LoadedModel(trained, folder.absolute())


def folder_of(run: Where) -> Path:
    """The folder of a run, as it is given. Raises FtError for what is no path."""
    if isinstance(run, str | os.PathLike) and isinstance(path := os.fspath(run), str) and path:
        return Path(path)
    raise FtError(f'which run? Write the path of its folder, as in "runs/mine", not {run!r}')


def installed(display: Display) -> Plugins:
    """The plugins that are installed; each broken or slow one is a warning."""
    plugins = load_plugins()
    for trouble in troubles(plugins):
        display.warn(trouble)
    return plugins


def warn_of_strangers(folder: Path, display: Display) -> None:
    """Warn where somebody else may have written what is in a folder."""
    for warning in strange_run(folder):
        display.warn(warning)


@contextlib.contextmanager
def in_folder(started: Path | None, display: Display) -> Iterator[None]:
    """A block in the folder where a run was started that goes on, from which the paths in its config lead.

    Raises FtError for another folder than the current one in a thread: there is one for the whole process.
    """
    here = Path.cwd()
    folder = started or here
    if folder == here:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise FtError(f"the run began in {folder}, and goes on there: os.chdir there first, or use the main thread")
    display.say(f"working in {folder}, where the run was started")
    with contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def stopped_as_python_is(called: str) -> Iterator[None]:
    """A block that a signal stops as it stops other Python code: Ctrl-C by KeyboardInterrupt, others as their handler,
    which by now is in its place again, has it."""
    try:
        yield
    except StopAsked as asked:
        where = f"; its state is saved. Continue with: ft.{called}(resume={os.fspath(asked.folder or '')!r})"
        if signal.getsignal(asked.signal_number) is not signal.default_int_handler:
            signal.raise_signal(asked.signal_number)
        raise KeyboardInterrupt(f"{asked}{where}") from None
