"""Runs with low-rank adapters: what is frozen does not move, checkpoints hold adapters alone, and a plain network is
saved."""

from __future__ import annotations

import io
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
from ft.finetune import finetune, plan_phases, prepare
from ft.inference.load import load_trained
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.plan.text import print_plan
from ft.run.folder import Run
from ft.run.report_text import print_report
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
LORA: dict[str, Any] = {
    "freeze": ["all"],
    "lora": {"rank": 2, "alpha": 8.0, "match": "regex:layer2.*"},
    "images__augment": "none",
    "training__lr": 0.05,
    "training__epochs": 3,
}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


def test_the_plain_network_is_saved_and_all_else_stays(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    fresh = prepare(tiny_config(), plugins, Display(), "pretrained").model.module
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    done = FinishedRun(tiny_config(cache__promise="exact", **LORA), plugins)
    assert done.weights.keys() == before.keys()
    moved = {name for name, value in done.weights.items() if not torch.equal(value, before[name])}
    assert moved == {"layer2.0.weight", "fc.weight", "fc.bias"}
    assert torch.linalg.matrix_rank((done.weights["layer2.0.weight"] - before["layer2.0.weight"]).flatten(1)) <= 2
    still = load_file(done.run.path / "frozen.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in still.items())
    last = done.run.read_checkpoint("last").tensors
    adapter = {"layer2.0.lora_a.weight", "layer2.0.lora_b.weight"}
    assert set(last) == {"fc.weight", "fc.bias", *adapter}
    report = done.report
    assert report.frozen_digest_before == report.frozen_digest_after
    assert report.plain()["adapted"] == 1
    trained = load_trained(done.run, plugins, {"device": "cpu", "precision": "fp32", "workers": 0}, 8, trust_code=True)
    assert all(torch.equal(value, done.weights[name]) for name, value in trained.module.state_dict().items())


def test_what_comes_before_the_first_adapter_is_computed_once(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys = {**LORA, "lora": {"rank": 2, "match": "regex:late.*"}}
    kept, plain = (
        FinishedRun(tiny_config("narrowing", run_dir=tmp_path / promise, cache__promise=promise, **keys), plugins)
        for promise in ("exact", "off")
    )
    assert kept.run.read_json("plan.json")["cache"]["keeps"] == "features"
    assert kept.metrics == plain.metrics
    assert all(torch.equal(value, plain.weights[name]) for name, value in kept.weights.items())


def test_a_run_with_adapters_goes_on_where_it_stopped(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    whole = FinishedRun(tiny_config(run_dir=tmp_path / "whole", **LORA), plugins)
    config = tiny_config(run_dir=tmp_path / "stopped", **LORA)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("epoch 2/3", 5))
    run = Run(tmp_path / "stopped")
    finetune(run.config(trust_code=True), plugins, Display(), run)
    weights = load_file(run.path / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in whole.weights.items())
    _, longer = finetune(run.config(True, {"training.epochs": 4}), plugins, Display(), run)  # also once it is finished
    assert (longer.epochs, longer.frozen_digest_before) == (4, whole.report.frozen_digest_before)


def test_adapters_rest_while_a_head_is_solved_for_and_train_after_it(plugins: Plugins, tmp_path: Path) -> None:
    config = load_config(
        {
            "backbone": f"{TINY}:small",
            "weights": "none",
            "lora": {"rank": 2},
            "data": {"use": "demo", "images_per_class": 6, "size": 32},
            "images": {"size": 16, "augment": "none"},
            "machine": {"precision": "fp32", "device": "cpu", "workers": 0},
            "report": {"html": False},
            "training": {"batch_size": 8},
            "phases": [{"freeze": "all", "optimizer": "lbfgs"}, {"freeze": "all", "epochs": 2, "lr": 0.05}],
            "run_dir": str(tmp_path / "run"),
        }
    )
    _, plans = plan_phases(config, plugins, Display())
    assert [len(plan.adapters) for plan in plans] == [3, 3]
    assert plans[0].trainable_numel == 8 * 4 + 4
    run, report = finetune(config, plugins, Display())
    assert report.adapted == 3
    assert [each.frozen_digest_before == each.frozen_digest_after for each in report.each_phase] == [True, True]
    assert not any("lora" in name for name in load_file(run.path / "model.safetensors"))
    assert metrics_in(run.path)[-1]["phase"] == 2


def test_a_layer_that_trains_itself_has_no_adapter(tiny_config: MakeConfig, plugins: Plugins) -> None:
    with pytest.raises(FtError, match=r"3 layers with one would train, 'stem\.0' first; add --freeze all"):
        prepare(tiny_config(lora={"rank": 2}), plugins, Display())


def test_plan_and_report_say_what_becomes_of_adapters(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    print_plan(prepare(tiny_config(**LORA), plugins, Display()).plan, Display(console, console))
    assert "adapters    rank 2, alpha 8, beside 1 frozen layer; merged into the weights" in out.getvalue()
    run, report = finetune(tiny_config(**{**LORA, "training__epochs": 1}), plugins, Display())
    print_report(report, run.path, Display(console, console))
    assert "the others proved unchanged, then 1 adapter merged into them" in out.getvalue()
