"""Runs that have finished, to be compared."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display


class FinishedRun:
    """Runs a config to its end; holds what the run left: weights, figures, report, which images it was measured on."""

    def __init__(self, config: Config, plugins: Plugins) -> None:
        self.run, self.report = finetune(config, plugins, Display())
        self.weights = load_file(self.run.path / "model.safetensors")
        with (self.run.path / "images.csv").open(encoding="utf-8", newline="") as file:
            self.validated = [Path(row["path"]) for row in csv.DictReader(file) if row["split"] == "val"]
        self.metrics = metrics_in(self.run.path)


def metrics_in(folder: Path) -> list[dict[str, Any]]:
    """The figures of every epoch of the run in `folder`, but the seconds that it took."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def assert_same_outcome(one: FinishedRun, other: FinishedRun) -> None:
    """Figures and weights are equal in every bit."""
    assert one.metrics == other.metrics
    assert one.report.val == other.report.val
    assert one.weights.keys() == other.weights.keys()
    for name, tensor in one.weights.items():
        assert torch.equal(tensor, other.weights[name]), name
