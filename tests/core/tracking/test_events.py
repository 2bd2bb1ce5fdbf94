"""What a run tells, from its start to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.tracking.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    PenaltyDone,
    PhaseStarted,
    RunEnded,
    RunFailed,
    RunStarted,
)
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
E = TypeVar("E", bound=Event)


def names(events: list[Event]) -> list[str]:
    return [event.path.name if isinstance(event, CheckpointSaved) else type(event).__name__ for event in events]


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(("freeze", "ready"), [("all", "FeaturesReady"), ("none", "ImagesReady")])
def test_a_run_tells_everything_in_its_order(
    freeze: str, ready: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    heard: list[Event] = []
    config = tiny_config(freeze=[freeze], images__augment="none", cache__promise="exact")
    run, report = finetune(config, plugins, Display(), listeners=[heard.append])
    best = [["best.pt", "last.pt"] if epoch.is_best else ["last.pt"] for epoch in of(EpochDone, heard)]
    assert names(heard) == [
        *("RunStarted", "PhaseStarted", ready),
        *(*best[0], "EpochDone", *best[1], "EpochDone"),
        "RunEnded",
    ]
    started, (ended,) = heard[0], of(RunEnded, heard)
    assert isinstance(started, RunStarted)
    assert (started.folder, started.resumed, started.history) == (run.path, False, ())
    assert started.config == yaml.safe_load((run.path / "config.yaml").read_text()), "which holds no secrets"
    assert ended.report == report
    assert all(path.exists() for path in ended.files)
    assert run.path / "report.json" in ended.files
    epochs = of(EpochDone, heard)
    assert [(each.record.epoch, each.epochs, each.step) for each in epochs] == [
        (1, 2, started.plan.steps_per_epoch),
        (2, 2, started.plan.total_steps),
    ]
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [each.record.figures() for each in epochs] == [
        {name: value for name, value in line.items() if name not in ("epoch", "penalty")} for line in lines
    ]


def test_a_run_that_stops_says_so_and_goes_on_where_it_was(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    heard: list[Event] = []
    with pytest.raises(StopAsked):
        finetune(tiny_config(), plugins, SignalAtProgress("epoch 2/2", 4), listeners=[heard.append])
    assert heard[-1] == RunFailed("stopped by SIGTERM", stopped=True)
    saved = of(CheckpointSaved, heard)[-1]
    assert (saved.path.name, saved.epoch) == ("last.pt", 1)

    run, again = Run(tmp_path / "run"), list[Event]()
    finetune(run.config(trust_code=True), plugins, Display(), run, [again.append])
    started = again[0]
    assert isinstance(started, RunStarted)
    assert started.resumed
    assert [record.epoch for record in started.history] == [1]
    assert [each.record.epoch for each in of(EpochDone, again)] == [2]
    assert of(EpochDone, again)[0].step == started.plan.total_steps
    assert not of(PhaseStarted, again)


def test_another_freeze_is_another_phase(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(training__epochs=1, freeze=["all"]), plugins, Display())
    heard: list[Event] = []
    config = run.config(True, {"freeze": ["none"], "training.epochs": 2})
    finetune(config, plugins, Display(), run, [heard.append])
    (begun,) = of(PhaseStarted, heard)
    assert (begun.phase.epoch, begun.phase.freeze, begun.phase.epochs) == (1, ["none"], 2)


def test_a_fit_tells_of_each_penalty(tiny_config: MakeConfig, plugins: Plugins) -> None:
    heard: list[Event] = []
    keys: dict[str, Any] = {"freeze": ["all"], "training__optimizer": "lbfgs", "training__penalties": (0.01, 0.1)}
    finetune(tiny_config(**keys), plugins, Display(), listeners=[heard.append])
    penalties = of(PenaltyDone, heard)
    assert [(each.record.penalty, each.penalties, each.step) for each in penalties] == [(0.1, 2, 1), (0.01, 2, 2)]
    assert penalties[0].record.figures()["penalty"] == 0.1
    assert not of(EpochDone, heard)


def test_a_run_that_fails_says_why(tiny_config: MakeConfig, plugins: Plugins) -> None:
    heard: list[Event] = []
    with pytest.raises(FtError) as raised:
        finetune(tiny_config(training__lr=1e30, training__head_lr=1e30), plugins, Display(), listeners=[heard.append])
    assert heard[-1] == RunFailed(str(raised.value), stopped=False)
