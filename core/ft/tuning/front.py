"""`ft.sweep`: what `ft sweep` does, for people who write Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from ft.config.files import read_tree
from ft.config.keywords import Keywords, Source, Where, keys_of, tree_of
from ft.errors import FtError
from ft.extension.settings import validate
from ft.front import folder_of, in_folder, installed, stopped_as_python_is, warn_of_strangers
from ft.handed import Shown, from_here
from ft.machine.display import Display
from ft.machine.python_display import PythonDisplay
from ft.tuning.records import SweepConfig, Swept, Trial, check_installed
from ft.tuning.text import print_swept

OWN = tuple(SweepConfig.model_fields)


class SweepKeywords(Keywords, total=False):
    """The keywords of `ft.sweep` beside those of `ft.finetune`, as the flags of `ft sweep`. `over` has for each key a
    text, as "1e-5..1e-2:log", a list of values, or a mapping as {"low": 1e-5, "high": 1e-2, "log": True}."""

    over: Mapping[str, Any]
    trials: int
    sampler: str | Mapping[str, Any]
    pruner: str | Mapping[str, Any]
    timeout: str
    storage: str
    parallel: int


@dataclass(frozen=True, repr=False)
class FinishedSweep(Shown):
    """A sweep: its folder (an absolute path), and what came of it: all trials by number, those `ranked` that came to a
    figure, the best first, and those on the `front` of figure against time. `print` shows what `ft sweep` prints."""

    path: Path
    found: Swept = field(repr=False)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return self.found.trials

    @property
    def ranked(self) -> tuple[Trial, ...]:
        return self.found.ranked

    @property
    def front(self) -> tuple[Trial, ...]:
        return self.found.front

    @property
    def importance(self) -> Mapping[str, float] | None:
        """What share of the differences between trials each key accounts for; None where too few tell."""
        return self.found.importance

    @property
    def best(self) -> Path:
        """The folder of the best trial's run, which `ft.load` takes."""
        best = self.found.best
        if best is None:
            raise FtError(f"no trial of {self.path} has come to a figure; `trials` say why")
        return self.path / best.name

    def run(self, trial: Trial) -> Path:
        """The folder of a trial's run."""
        return self.path / trial.name

    def show(self, display: Display) -> None:
        print_swept(replace(self.found, folder=from_here(self.path)), display)

    def __repr__(self) -> str:
        best = self.found.best
        figure = self.found.figure
        said = "" if best is None or best.figure is None else f", best {figure.title} {figure.written(best.figure)}"
        return f"<sweep of {len(self.trials)} trials in {self.path}{said}>"


def sweep(
    source: Source | None = None,
    /,
    *,
    resume: Where | None = None,
    trust_code: bool = False,
    verbose: bool = False,
    **settings: Unpack[SweepKeywords],
) -> FinishedSweep:
    """Run many trials over some settings, each a run as `ft.finetune` makes it, or go on with those of the sweep in the
    folder `resume`, beside which there may be `trials`, `timeout`, `storage` and `parallel`.

    `source` and the other keywords are those of `ft.finetune`, and fix what is not swept over. A trial that fails is in
    the result with why. Raises FtError where all do, and as `finetune` does.
    """
    check_installed()
    from ft.tuning.beginning import begin_sweep
    from ft.tuning.folder import join_sweep
    from ft.tuning.sweep import Running, run_sweep

    display = PythonDisplay(verbose)
    plugins = installed(display)
    own: dict[str, Any] = {name: value for name, value in settings.items() if name in OWN and value is not None}
    rest: dict[str, Any] = {name: value for name, value in settings.items() if name not in OWN}
    if resume is None:
        content, section = _read(source)
        wanted = validate(SweepConfig, {**section, **own}, "sweep")
        begun = begin_sweep(wanted, content, (), keys_of(rest), plugins)
        started = None
    else:
        others = [*rest, *(name for name in ("over", "sampler", "pruner") if name in own)]
        if others or source is not None:
            named = ", ".join([*others, *(["the config"] if source is not None else [])])
            raise FtError(f"resume= goes on with a sweep as it was begun; leave out {named}")
        folder = folder_of(resume).absolute()
        warn_of_strangers(folder, display)
        begun = join_sweep(folder, own.get("storage"), trust_code, own.get("trials"))
        wanted = validate(SweepConfig, {k: own[k] for k in ("timeout", "parallel") if k in own}, "sweep")
        started = Path(begun.file.started_in) if begun.file.started_in else None
    words = ["--trust-code", *(["--timeout", wanted.timeout] if wanted.timeout else [])]
    with in_folder(started if started and started.is_dir() else None, display), stopped_as_python_is("sweep"):
        found = run_sweep(begun, Running(wanted.parallel, words, wanted.seconds), plugins, display)
        path = found.folder.absolute()
    return FinishedSweep(path, found)


def _read(source: Source | None) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """What a config says of trials, and what it says of the sweep."""
    if source is None:
        return {}, {}
    if isinstance(source, Mapping):
        rest = {key: value for key, value in source.items() if key != "sweep"}
        return tree_of(rest), source.get("sweep") or {}
    content = read_tree(Path(source))
    return content, content.pop("sweep", None) or {}
