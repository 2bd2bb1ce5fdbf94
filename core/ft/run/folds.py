"""The folder of a cross-validation: the runs of its folds, each in a folder of its own, and what they came to together.

config.yaml     the resolved config, without a fold
folds.json      the figures of every finished fold, their mean and deviation
fold-1, ...     the folders of the runs
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ft.config.loading import load_config
from ft.config.run_folders import check_there
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.unpackaged import refuse_unpackaged
from ft.run.folder import Run
from ft.run.new import new_folder
from ft.run.records import FOLDS, FoldDone, FoldsFile, Spread, read_record
from ft.run.summaries import figures_in

Figures = Mapping[str, float]
"""What a model was measured to do, by the figures' names."""


class Folds:
    """The folder of all folds of a config."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def are_in(path: Path) -> bool:
        """Whether that is such a folder, rather than a run's."""
        return (path / FOLDS).is_file()

    def config(self, trust_code: bool) -> Config:
        """The config of the folds. Raises FtError as `Run.config` does, also for that of a fold which has begun."""
        check_there(self.path)
        file = self.path / "config.yaml"
        if not file.is_file():
            raise FtError(f"{self.path} holds no config.yaml, so its folds cannot go on; begin them anew")
        config = load_config(file)
        if not trust_code:
            refuse_unpackaged(config.references(), str(file))
            for begun in sorted(self.path.glob("fold-*/config.yaml")):
                refuse_unpackaged(load_config(begun).references(), str(begun))
        return config

    def file(self) -> FoldsFile:
        """Read folds.json. Raises FtError where it is missing or not what ft writes."""
        return read_record(self.path / FOLDS, FoldsFile)

    def started_in(self) -> Path:
        """The folder that relative paths in the config start from; the current one if that is gone."""
        folder = self.file().started_in
        return Path(folder) if folder and os.path.isdir(folder) else Path.cwd()

    def run(self, fold: int) -> Run:
        """The run of a fold, from 1, whether it has begun or not."""
        return Run(self.path / f"fold-{fold}")

    def begun(self) -> bool:
        """Whether any fold has begun."""
        return any(self.path.glob("fold-*"))

    def sum_up(self) -> FoldsFile:
        """Publish what the finished folds came to, and return it."""
        before = self.file()
        finished = tuple(self._finished(before.folds))
        content = FoldsFile(
            folds=before.folds,
            started_in=before.started_in,
            finished=finished,
            val=spreads([each.val for each in finished]),
            test=spreads([each.test for each in finished if each.test is not None]),
        )
        Run(self.path).write_json(FOLDS, content.model_dump(mode="json"))
        return content

    def remove(self) -> None:
        """Remove the folder again, in which no fold has begun."""
        for name in ("config.yaml", FOLDS):
            (self.path / name).unlink(missing_ok=True)
        self.path.rmdir()

    def _finished(self, folds: int) -> Iterator[FoldDone]:
        for fold in range(1, folds + 1):
            run = self.run(fold)
            if (run.path / "report.json").is_file():
                report = run.read_json("report.json")
                test = report.get("test")
                yield FoldDone(
                    fold=fold,
                    run=run.path.name,
                    val=figures_in(report["val"]),
                    test=figures_in(test) if test is not None else None,
                )


def start_folds(config: Config) -> Folds:
    """Make the folder in which all folds of `config` will run. Raises FtError when it is taken."""
    assert config.split.folds is not None
    folds = Folds(new_folder(config))
    run = Run(folds.path)
    begun = FoldsFile(folds=config.split.folds, started_in=str(Path.cwd()))
    run.write_json(FOLDS, begun.model_dump(mode="json"))
    run.write_config(config)  # last: now they can go on
    return folds


def spreads(each: Sequence[Figures]) -> dict[str, Spread]:
    """Mean and deviation of every figure, over those folds that have it."""
    names = dict.fromkeys(name for figures in each for name in figures)
    values = {name: tuple(figures[name] for figures in each if name in figures) for name in names}
    return {
        name: Spread(mean=statistics.fmean(some), deviation=_deviation(some), values=some)
        for name, some in values.items()
    }


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
