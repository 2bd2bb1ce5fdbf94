"""`ft.average` and `ft.ensemble`: what the commands do, for people who write Python, and what both show."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

from ft.config.keywords import Where
from ft.config.run_folders import folder_meant
from ft.config.schema import PREDICT_BATCH, PREDICT_PRECISION
from ft.config.use import OnMachine
from ft.errors import FtError
from ft.extension.installed import Plugins, load_plugins, troubles
from ft.handed import Shown, from_here
from ft.inference.load import Trained, load_trained
from ft.inference.loaded import LoadedModel
from ft.machine.display import Display
from ft.machine.ownership import strange_run
from ft.machine.python_display import PythonDisplay
from ft.reporting.write import show as write_report
from ft.run.folder import Run
from ft.run.records import to_predict
from ft.several.average import How, average_runs
from ft.several.ensemble import ensemble_runs
from ft.several.judged import Together, print_together
from ft.several.members import read_members
from ft.task.chosen import ChosenTask
from ft.text.names import typed

Figures = Mapping[str, float]


class Using(OnMachine, total=False):
    """How the models of runs are used while they are put together."""

    batch_size: int
    trust_code: bool


@dataclass(frozen=True, repr=False)
class PutTogether(Shown):
    """Several runs that were put together: the folder (an absolute path), which `ft.load` and the commands take as they
    take that of a run, and how they do alone and together. `print` shows what the command prints."""

    what: Literal["average", "ensemble"]
    path: Path
    found: Together
    task: ChosenTask
    trust_code: bool

    @property
    def val(self) -> Figures:
        """The figures of all together on the validation images that trained none of the runs."""
        return self.found.made["val"]

    @property
    def test(self) -> Figures:
        """The same on the test images of all; empty where there are none."""
        return self.found.made.get("test", {})

    @property
    def alone(self) -> Mapping[str, Mapping[str, Figures]]:
        """The figures of each run by its folder, as it was named, and by "val" and "test"."""
        return self.found.alone

    @property
    def taken(self) -> tuple[str, ...]:
        """The folders of the runs that are in it."""
        return self.found.taken

    @property
    def is_better(self) -> bool:
        """Whether it is better on the validation images than the best run alone."""
        return self.found.is_better

    def load(self, **how: Any) -> LoadedModel:
        """Its model, as `ft.load` loads it."""
        from ft.front import load

        return load(self.path, **{"trust_code": self.trust_code, **how})

    def show(self, display: Display) -> None:
        """Print it."""
        print_together(self.found, f"the {self.what}", self.task, display)
        if self.what == "average" and len(self.taken) == 1:
            display.tell(f"no other run helps {self.found.best}, whose weights these are, alone")
        code = ["--trust-code"] if self.trust_code else []
        of_several = typed("ft", "predict", from_here(self.path), "IMAGES", *code)
        display.tell(f"use it: {to_predict(from_here(self.path)) if self.what == 'average' else of_several}")

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        figure = self.found.figure
        return f"<{self.what} in {self.path}, {figure.title} {figure.written(self.val[figure.name])}>"


def average(
    *runs: Where, out: Where, uniform: bool = False, verbose: bool = False, **using: Unpack[Using]
) -> PutTogether:
    """Average the weights of finished runs of one network, as `ft average` does: of the best and of each further one
    that helps, or with `uniform` of all, in the new folder `out`.

    Keywords are those of the command's flags, `device`, `precision`, `batch_size`, `workers` and `trust_code`, and
    `verbose`, to print what is done meanwhile. Raises FtError for what the user can mend; there is no folder then.
    """
    display, plugins = _begun(runs, verbose, using)
    return averaged(runs, Path(out), "uniform" if uniform else "greedy", using, (plugins, display))


def ensemble(*runs: Where, out: Where, verbose: bool = False, **using: Unpack[Using]) -> PutTogether:
    """Let finished runs of one task and its classes answer together, as `ft ensemble` does: their copies lie in the new
    folder `out`. Keywords and what is raised are as in `average`."""
    display, plugins = _begun(runs, verbose, using)
    return pooled(runs, Path(out), using, (plugins, display))


def averaged(runs: Sequence[Where], out: Path, how: How, using: Using, there: tuple[Plugins, Display]) -> PutTogether:
    """Average runs, with the plugins that are there and what shows how far it is, and write the page."""
    plugins, display = there
    members = read_members([folder_meant(Path(run)) for run in runs])
    task, found = average_runs(members, how, out, _loading(plugins, using), display)
    write_report(Run(out), None, plugins, display)
    return PutTogether("average", out.absolute(), found, task, using.get("trust_code", False))


def pooled(runs: Sequence[Where], out: Path, using: Using, there: tuple[Plugins, Display]) -> PutTogether:
    """The same of runs that answer together; they have no page."""
    plugins, display = there
    members = read_members([folder_meant(Path(run)) for run in runs])
    task, found = ensemble_runs(members, out, _loading(plugins, using), display)
    return PutTogether("ensemble", out.absolute(), found, task, using.get("trust_code", False))


def _begun(runs: Sequence[Where], verbose: bool, using: Using) -> tuple[Display, Plugins]:
    """Check keywords and runs, and say what is to be said of these."""
    if unknown := sorted(using.keys() - Using.__annotations__.keys()):
        raise TypeError(f"got an unexpected keyword argument '{unknown[0]}'")
    if wrong := [run for run in runs if not isinstance(run, str | os.PathLike)]:
        raise FtError(f"runs are named one after the other, by the paths of their folders, not as {wrong[0]!r}")
    display, plugins = PythonDisplay(verbose), load_plugins()
    strange = [warning for run in runs for warning in strange_run(folder_meant(Path(run)))]
    for warning in (*troubles(plugins), *strange):
        display.warn(warning)
    return display, plugins


def _loading(plugins: Plugins, using: Using) -> Callable[[Run], Trained]:
    """What loads the model of a run onto the machine that is asked for."""
    machine: dict[str, Any] = {"precision": PREDICT_PRECISION, **using}
    batch, trust_code = machine.pop("batch_size", PREDICT_BATCH), machine.pop("trust_code", False)
    return lambda run: load_trained(run, plugins, machine, batch, trust_code)
