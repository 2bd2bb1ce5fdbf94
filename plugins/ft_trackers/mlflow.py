"""`mlflow`: figures, config and files of a run for MLflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

import ft
from ft import Event, RunEnded, RunFailed, RunStarted
from ft_trackers.program import flat, following, name_of, need, remember, remembered, variables

PARAMETER, BATCH = 6000, 100
"""The longest value of a parameter that MLflow takes, and how many parameters at a time."""


class Settings(ft.Settings):
    uri: str = Field("", description="where MLflow keeps runs, as in sqlite:///mlflow.db; default: the run's folder")
    experiment: str = Field("ft", min_length=1, description="the experiment that the run belongs to")


def track(settings: Settings) -> Callable[[Event], None]:
    """Hand a run to MLflow: its figures, config and small files. Raises FtError without the library.

    It is kept in the run's folder, or by the server or in the database at `uri`. `mlflow ui --backend-store-uri
    sqlite:///RUN/mlflow/mlflow.db` shows it.
    """
    need("mlflow", "mlflow")
    return following(_MLflow(settings))


class _MLflow:
    def __init__(self, settings: Settings) -> None:
        self.settings, self.run = settings, ""

    def start(self, event: RunStarted) -> bool:
        folder = (event.folder / "mlflow").absolute()
        folder.mkdir(exist_ok=True)
        with variables(MLFLOW_DISABLE_TELEMETRY="true"):  # it asks when it is imported, and then writes to the home
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.uri = self.settings.uri or f"sqlite:///{folder / 'mlflow.db'}"
        self.client: Any = MlflowClient(self.uri)
        if known := remembered(folder):
            try:
                self.client.update_run(known, status="RUNNING")
                self.run = known
                return True
            except MlflowException:
                pass  # it is kept somewhere else, so here it is new
        self.run = self.client.create_run(self._experiment(), run_name=name_of(event.folder)).info.run_id
        remember(folder, self.run)
        from mlflow.entities import Param

        params = [Param(key, str(value)[:PARAMETER]) for key, value in flat(event.config).items()]
        for at in range(0, len(params), BATCH):
            self.client.log_batch(self.run, params=params[at : at + BATCH])
        return False

    def _experiment(self) -> str:
        if found := self.client.get_experiment_by_name(self.settings.experiment):
            return str(found.experiment_id)
        files = files_beside(self.uri)
        return str(self.client.create_experiment(self.settings.experiment, artifact_location=files))

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.run, metrics=[Metric(name, value, now, number) for name, value in figures.items()])

    def end(self, event: RunEnded | RunFailed) -> None:
        if isinstance(event, RunEnded):
            for path in event.files:
                self.client.log_artifact(self.run, str(path))
            self.client.set_terminated(self.run, "FINISHED")
        else:
            self.client.set_tag(self.run, "ft.why", event.why)
            self.client.set_terminated(self.run, "KILLED" if event.stopped else "FAILED")


def files_beside(uri: str) -> str | None:
    """Where the files of runs go that are kept in a database: beside that, if it is a file. None: MLflow decides.

    >>> files_beside("sqlite:////data/mlflow.db"), files_beside("http://host:5000")
    ('file:///data/artifacts', None)
    """
    kind, _, path = uri.partition(":///")
    return (Path(path).absolute().parent / "artifacts").as_uri() if kind == "sqlite" else None
