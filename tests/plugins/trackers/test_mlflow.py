"""The tracker `mlflow`, with the library: `make trackers` installs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ft.testing import told_by_run
from ft_trackers.mlflow import Settings, track

pytest.importorskip("mlflow", reason="mlflow is not installed; make trackers installs it")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'all.db'}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which everything is called, which stays empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def tell(folder: Path, uri: str = "", **told: Any) -> None:
    listen = track(Settings(uri=uri))
    for event in told_by_run(folder, **told):
        listen(event)


def runs(uri: str) -> tuple[Any, list[Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("ft")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))


def test_figures_config_and_files_are_in_the_run_s_folder(tmp_path: Path) -> None:
    tell(tmp_path / "mine")
    client, (run,) = runs(f"sqlite:///{tmp_path / 'mine' / 'mlflow' / 'mlflow.db'}")
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.0)]
    assert run.data.params["training.epochs"] == "2"
    assert run.data.params["freeze"] == "['all']"
    files = {each.path: each.file_size for each in client.list_artifacts(run.info.run_id)}
    assert files == {"config.yaml": 8, "report.json": 3}
    assert run.info.artifact_uri.startswith((tmp_path / "mine" / "mlflow").as_uri())


def test_a_run_that_goes_on_is_the_same_run_and_two_runs_are_two(tmp_path: Path, uri: str, here: Path) -> None:
    tell(tmp_path / "a", uri, fails=True)
    client, (stopped,) = runs(uri)
    assert (stopped.info.status, stopped.data.tags["ft.why"]) == ("KILLED", "it was stopped")
    tell(tmp_path / "a", uri, before=2)
    tell(tmp_path / "b", uri, before=1)
    _, (one, other) = runs(uri)
    assert (one.info.run_id, one.info.status) == (stopped.info.run_id, "FINISHED")
    steps = [[each.step for each in client.get_metric_history(run.info.run_id, "val_loss")] for run in (one, other)]
    assert steps == [[1, 2, 3, 4], [1, 2, 3]]
    assert {each.path for each in client.list_artifacts(other.info.run_id)} == {"config.yaml", "report.json"}
    assert not list(here.iterdir())
