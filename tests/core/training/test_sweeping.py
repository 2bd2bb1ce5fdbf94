"""Heads that train side by side: each as it would alone, the best one kept, and the same bits after a stop."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from conftest import TINY
from finished_runs import FinishedRun, metrics_in
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.extension.records import Candidate
from ft.extension.sections import Chart
from ft.extension.tasks import Table
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.reporting.candidates import candidates
from ft.reporting.finished import read_finished
from ft.run.folder import Run
from ft.run.report_text import print_report
from ft.training.heads import Heads
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
KEYS: dict[str, Any] = {"freeze": ["all"], "images__augment": "none", "training__epochs": 4}
ONE = {"rates": [0.3], "decays": [0.1]}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


def swept(**settings: Any) -> dict[str, Any]:
    return {**KEYS, "training__optimizer": {"use": "sweep", **settings}}


@pytest.mark.parametrize(
    ("rule", "keys"),
    [
        ("adamw", {}),
        ("adamw", {"task": {"use": "classification", "class_weights": "balanced"}, "training__clip_norm": 0.05}),
        ("sgd", {"head": {"use": "linear", "bias": False}, "images__augment": "standard", "images__views": 2}),
    ],
    ids=["adamw", "adamw, weights and clipping", "sgd, views, no bias"],
)
def test_one_candidate_is_trained_as_the_loop_trains_a_head(
    rule: str, keys: dict[str, Any], tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    settings = {"training__optimizer": rule, "training__head_lr": 0.3, "training__weight_decay": 0.1}
    loop = FinishedRun(tiny_config(run_dir=tmp_path / "loop", **{**KEYS, **settings, **keys}), plugins)
    one = FinishedRun(tiny_config(run_dir=tmp_path / "one", **{**swept(rule=rule, **ONE), **keys}), plugins)
    assert one.report.best_epoch == loop.report.best_epoch
    for name, tensor in loop.weights.items():
        torch.testing.assert_close(one.weights[name], tensor, rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(one.metrics, loop.metrics, strict=True):
        figures = {key: value for key, value in theirs.items() if value is not None}
        assert {key: ours[key] for key in figures} == pytest.approx(figures, rel=1e-3)


def test_each_of_six_candidates_is_trained_as_it_would_be_alone(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    rates, decays = (0.003, 0.03, 0.3), (0.0, 1.0)
    six = FinishedRun(tiny_config(run_dir=tmp_path / "six", **swept(rates=rates, decays=decays)), plugins)
    alone = []
    for lr, decay in ((lr, decay) for lr in rates for decay in decays):
        config = tiny_config(run_dir=tmp_path / f"{lr}-{decay}", **swept(rates=[lr], decays=[decay]))
        alone.append(FinishedRun(config, plugins))
    for ours, theirs in zip(six.report.tried, alone, strict=True):
        (other,) = theirs.report.tried
        assert (ours.candidate, ours.epoch) == (other.candidate, other.epoch)
        assert {**ours.val} == pytest.approx({**other.val}, rel=1e-4)
    best = max(alone, key=lambda each: (each.report.val["accuracy"], -each.report.val["loss"]))
    for name, tensor in best.weights.items():
        torch.testing.assert_close(six.weights[name], tensor, rtol=1e-4, atol=1e-6)


def test_what_is_kept_is_the_best_candidate_after_its_best_epoch(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, report = finetune(tiny_config(**swept(rates=[0.01, 0.1], decays=[0.0], seeds=2)), plugins, Display())
    table = json.loads((run.path / "report.json").read_text())["candidates"]
    assert [(row["lr"], row["seed"]) for row in table] == [(0.01, 0), (0.01, 1), (0.1, 0), (0.1, 1)]
    best = max(table, key=lambda row: (row["val"]["accuracy"], -row["val"]["loss"]))
    assert (report.best_epoch, report.val["accuracy"]) == (best["epoch"], best["val"]["accuracy"])
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    won = lines[report.best_epoch - 1]
    assert (won["candidate_lr"], won["candidate_seed"]) == (best["lr"], best["seed"])
    assert max(line["val_accuracy"] for line in lines) == best["val"]["accuracy"]
    (section,) = candidates(read_finished(run, plugins, trust_code=True))
    chart, every = section.parts
    assert isinstance(chart, Chart)
    assert isinstance(every, Table)
    assert len(every.rows) == 4
    at = {each["lr"]: max(row["val"]["accuracy"] for row in table if row["lr"] == each["lr"]) for each in table}
    assert [y for _, y in chart.lines[0].points] == [at[0.01], at[0.1]]


def test_a_stopped_sweep_ends_in_the_same_bits(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    keys = swept(rates=[0.01, 0.1], decays=[0.0, 1.0], seeds=2)
    whole = FinishedRun(tiny_config(run_dir=tmp_path / "whole", **keys), plugins)
    config = tiny_config(run_dir=tmp_path / "stopped", **keys)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 3/4", 8))
    stopped = Run(tmp_path / "stopped")
    _, report = finetune(stopped.config(trust_code=True), plugins, Display(), stopped)
    weights = load_file(stopped.path / "model.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.weights.items())
    assert metrics_in(stopped.path) == whole.metrics
    assert (report.tried, report.val) == (whole.report.tried, whole.report.val)


def test_heads_of_other_seeds_begin_otherwise_and_always_alike() -> None:
    head = torch.nn.Linear(3, 2)
    candidates = [Candidate(0.1, 0.0, seed) for seed in (0, 1, 2, 1)]
    one, again, other = (Heads(head, candidates, seed) for seed in (7, 7, 8))
    assert torch.equal(one.weight[0], head.weight)
    assert torch.equal(one.weight[1], one.weight[3])
    assert not torch.equal(one.weight[1], one.weight[2])
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight[1], other.weight[1])


def test_a_head_that_gives_no_numbers_is_out_and_harms_no_other(tiny_config: MakeConfig, plugins: Plugins) -> None:
    two = FinishedRun(tiny_config(**swept(rule="sgd", rates=[0.3, 1e38], decays=[0.1])), plugins)
    one = FinishedRun(tiny_config(run_dir=two.run.path.parent / "one", **swept(rule="sgd", **ONE)), plugins)
    for name, tensor in one.weights.items():
        torch.testing.assert_close(two.weights[name], tensor, rtol=1e-4, atol=1e-6)
    lost = two.report.tried[1]
    assert lost.epoch is None or lost.epoch < 4
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    print_report(two.report, two.run.path, Display(console, console))
    assert "lr 0.3, weight decay 0.1" in screen.getvalue()


def test_where_no_head_gives_numbers_the_run_says_so(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(**swept(rule="sgd", rates=[1e37, 1e38], decays=[0.0]))
    with pytest.raises(FtError, match=r"none of the 2 heads gives numbers after epoch \d; .* lower .* than 1e\+37"):
        finetune(config, plugins, Display())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"head": "mlp"}, "--optimizer sweep fits a linear head, and more is left to train"),
        ({"training__mixup": 0.2}, "--optimizer sweep works on features computed once, and there are none: mixup"),
        ({"training__ema": 0.9}, "--ema averages weights over steps, and --optimizer sweep takes them with many heads"),
        ({"cache__promise": "off"}, "--optimizer sweep works on features computed once, and there are none"),
    ],
)
def test_what_it_cannot_train_is_refused(
    keys: dict[str, Any], said: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=re.escape(said)):
        prepare(tiny_config(**{**swept(), **keys}), plugins, Display())


def test_a_setting_of_one_head_is_said_to_have_no_effect(tiny_config: MakeConfig, plugins: Plugins) -> None:
    plan = prepare(tiny_config(training__head_lr=0.5, **swept()), plugins, Display()).plan
    assert "without effect with sweep: training.head_lr" in plan.warnings
    assert len(plan.optimizer.candidates) == 28


def test_fine_tuning_goes_on_from_the_head_that_won(plugins: Plugins, tmp_path: Path) -> None:
    probe = {"freeze": "all", "epochs": 3, "augment": "none", "optimizer": {"use": "sweep", "rates": [0.1, 0.3]}}
    tuned = {"freeze": [], "epochs": 1, "lr": 1e-30, "head_lr": 1e-30, "optimizer": "sgd"}
    config = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "data": {"use": "demo", "images_per_class": 6, "size": 32},
        "images": {"size": 16},
        "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
        "report": {"html": False},
        "training": {"batch_size": 8},
    }
    alone = FinishedRun(load_config({**config, "phases": [probe], "run_dir": str(tmp_path / "alone")}), plugins)
    both = FinishedRun(load_config({**config, "phases": [probe, tuned], "run_dir": str(tmp_path / "both")}), plugins)
    last = both.run.read_checkpoint("last")
    torch.testing.assert_close(last.tensors["fc.weight"], alone.weights["fc.weight"])
    assert [each.candidate is None for each in last.position.history] == [False, False, False, True]
    assert both.report.tried == alone.report.tried


def test_few_epochs_of_varied_images_see_views_that_are_kept(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys = {"images__augment": "standard", "training__epochs": 2}
    plan = prepare(tiny_config(**{**swept(), **keys}), plugins, Display()).plan
    assert plan.cache.keeps == "features"
    assert plan.cache.views > 1
