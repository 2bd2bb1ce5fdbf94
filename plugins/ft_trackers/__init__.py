"""Trackers: a table, and four programs that show runs. A library is imported when its tracker starts."""

from __future__ import annotations

from collections.abc import Iterator

from ft import Tracker, hookimpl


@hookimpl
def ft_run_trackers() -> Iterator[Tracker]:
    yield Tracker(
        "csv",
        "A row for each epoch in metrics.csv, which any spreadsheet opens",
        track="ft_trackers.table:track",
        settings="ft_trackers.table:Settings",
    )
    yield Tracker(
        "tensorboard",
        "Curves for TensorBoard, in the run's folder (needs ftkit[tensorboard])",
        track="ft_trackers.tensorboard:track",
        settings="ft_trackers.tensorboard:Settings",
    )
    yield Tracker(
        "mlflow",
        "Figures, config and files for MLflow, in the run's folder or where it keeps runs (needs ftkit[mlflow])",
        track="ft_trackers.mlflow:track",
        settings="ft_trackers.mlflow:Settings",
    )
    yield Tracker(
        "wandb",
        "Figures, config and files for Weights & Biases, offline in the run's folder (needs ftkit[wandb])",
        track="ft_trackers.wandb:track",
        settings="ft_trackers.wandb:Settings",
    )
    yield Tracker(
        "trackio",
        "Figures, config and files for Trackio, on this machine in the run's folder (needs ftkit[trackio])",
        track="ft_trackers.trackio:track",
        settings="ft_trackers.trackio:Settings",
    )
