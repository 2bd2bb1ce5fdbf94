"""The folder of a sweep: made, found again, and whether it is the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft.config.run_folders import check_there
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.tasks import Figure
from ft.extension.unpackaged import refuse_unpackaged
from ft.machine.files import publish_json
from ft.run.folder import Run
from ft.run.new import free_folder, make_folder
from ft.run.records import SWEEP, read_record
from ft.task.chosen import choose_task
from ft.text.names import typed
from ft.text.redaction import shown, without_secrets
from ft.tuning.asked import code_named
from ft.tuning.records import RESULTS, Asked, SweepFile, Swept, Trial
from ft.tuning.space import Over, space_of

LOGS = "logs"


@dataclass(frozen=True)
class Sweep:
    """A sweep that is begun: its folder, what was asked for, and the address of its database, which may hold a
    password that sweep.json does not."""

    path: Path
    file: SweepFile
    space: tuple[Over, ...]
    storage: str | None = None

    @property
    def figure(self) -> Figure:
        """The figure by which trials are compared."""
        file = self.file
        return Figure(file.figure, file.title, file.form, larger_is_better=file.larger_is_better)

    def found(self, trials: tuple[Trial, ...], importance: Mapping[str, float] | None = None) -> Swept:
        """What came of it, by its trials."""
        names_code = bool(code_named(self.file.asked))
        return Swept(self.path, self.figure, self.file.trials, trials, importance, names_code)

    def log(self, name: str) -> Path:
        """Where a trial or a worker writes what it prints."""
        return self.path / LOGS / f"{name}.log"


def start_sweep(asked: Asked, example: Config, trials: int, storage: str | None, plugins: Plugins) -> Sweep:
    """Make the folder that --run-dir names, or one that is free, or find it where it has the very same sweep already.

    Raises FtError where it is taken, or has another sweep.
    """
    space = space_of(asked.over)
    named = asked.flags.get("run_dir")
    asked = asked.model_copy(update={"flags": {k: v for k, v in asked.flags.items() if k != "run_dir"}})
    if without_secrets(plain := asked.model_dump(mode="json")) != plain:
        raise FtError(
            "an address in the config holds a user, a password or a signature, which is not written to the sweep's "
            "folder, and every trial needs it; keep user and password in ~/.netrc or the environment"
        )
    if named is not None and (Path(named) / SWEEP).is_file():
        return _the_same(Path(named), asked, trials, storage)
    path = make_folder(Path(named), "--run-dir") if named is not None else free_folder(example.backbone.use, "-sweep")
    figure = choose_task(example.task, plugins, example.training).figure(example.training.monitor)
    file = SweepFile(
        asked=asked,
        trials=trials,
        storage=None if storage is None else shown(storage),
        study=path.name,
        seed=example.seed,
        figure=figure.name,
        title=figure.title,
        form=figure.form,
        larger_is_better=figure.larger_is_better,
        started_in=str(Path.cwd()),
    )
    publish_json(path / SWEEP, file.model_dump(mode="json"))
    return Sweep(path, file, space, storage)


def join_sweep(path: Path, storage: str | None, trust_code: bool, trials: int | None = None) -> Sweep:
    """The sweep in a folder, with more `trials` where that is said. Raises FtError where there is none, where it names
    code that is not trusted, and for fewer trials than before."""
    check_there(path)
    if not (path / SWEEP).is_file():
        hint = f"; it is a run, which goes on with {typed('ft', 'run', '--resume', path)}"
        raise FtError(f"{path} holds no sweep{hint if (path / 'config.yaml').is_file() else ''}")
    file = read_record(path / SWEEP, SweepFile)
    if not trust_code:
        refuse_unpackaged(code_named(file.asked), str(path / SWEEP))
    file = _with_trials(path, file, trials)
    if file.storage is not None and storage is None and shown(file.storage) != file.storage:
        raise FtError(f"{path} keeps its trials in {file.storage}, and no password; give its address with --storage")
    if storage is not None and shown(storage) != file.storage:
        raise FtError(f"{path} keeps its trials in {file.storage or 'its folder'}, not in {shown(storage)}")
    return Sweep(path, file, space_of(file.asked.over), storage or file.storage)


def publish_results(sweep: Sweep, found: Swept) -> None:
    """Publish results.json, and into the folder of each trial's run which trial it was and what became of it."""
    publish_json(sweep.path / RESULTS, found.plain())
    for each in found.trials:
        run = Run(sweep.path / each.name)
        if each.ended and (run.path / "config.yaml").is_file() and not (run.path / TRIAL).exists():
            run.write_json(TRIAL, {"sweep": str(sweep.path.absolute()), **each.plain()})


TRIAL = "trial.json"


def _with_trials(path: Path, file: SweepFile, trials: int | None) -> SweepFile:
    if trials is None or trials == file.trials:
        return file
    if trials < file.trials:
        raise FtError(f"{path} is to have {file.trials} trials; --trials may be more, and {trials} are fewer")
    file = file.model_copy(update={"trials": trials})
    publish_json(path / SWEEP, file.model_dump(mode="json"))
    return file


def _the_same(path: Path, asked: Asked, trials: int, storage: str | None) -> Sweep:
    """The sweep that a folder has. Raises FtError, with what differs, where it is another one."""
    file = read_record(path / SWEEP, SweepFile)
    now, before = asked.model_dump(mode="json"), file.asked.model_dump(mode="json")
    differs = [*_different(before, now)]
    if (None if storage is None else shown(storage)) != file.storage:
        differs.append("storage")
    if differs:
        raise FtError(
            f"{path} has a sweep already, which differs in {', '.join(differs)}; it goes on with "
            f"{typed('ft', 'sweep', '--join', path)}; for a new one choose another --run-dir"
        )
    more = max(trials, file.trials)
    return Sweep(path, _with_trials(path, file, more), space_of(file.asked.over), storage)


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in now if json.dumps(before.get(key), sort_keys=True) != json.dumps(now[key], sort_keys=True)]
