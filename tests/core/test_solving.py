from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ft.config import Config
from ft.display import Display
from ft.errors import FtError
from ft.finetune import finetune, prepare
from ft.plugins import Plugins
from ft.runs import Run
from ft.signals import StopAsked
from stopping import StopAt

MakeConfig = Callable[..., Config]
KEYS: dict[str, Any] = {"freeze": ["all"], "training__optimizer": "lbfgs", "cache__promise": "exact"}


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_CACHE", str(tmp_path / "cache"))


def objective(
    weight: torch.Tensor, bias: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor, penalty: float
) -> Any:
    loss = torch.nn.functional.cross_entropy(inputs @ weight.t() + bias, labels)
    return loss + 0.5 * penalty * weight.square().sum()


def kept(tmp_path: Path, rows: int) -> torch.Tensor:
    files = [load_file(path)["feature0"] for path in (tmp_path / "cache" / "features").glob("*.safetensors")]
    return next(tensor for tensor in files if len(tensor) == rows)


def test_the_fit_is_a_minimum_of_the_objective(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    penalty = 0.01
    config = tiny_config(training__penalties=[penalty], **KEYS)
    run, report = finetune(config, plugins, Display())
    data = prepare(config, plugins, Display()).data
    labels = torch.tensor([item.label for item in data.train])
    saved = load_file(run.path / "model.safetensors")
    weight = saved["fc.weight"].double().requires_grad_()
    bias = saved["fc.bias"].double().requires_grad_()
    value = objective(weight, bias, kept(tmp_path, len(labels)).double(), labels, penalty)
    value.backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert float(torch.cat([weight.grad.flatten(), bias.grad]).abs().max()) < 1e-4
    rng = np.random.default_rng(0)
    for _ in range(20):  # and no neighbour is lower
        near = weight.detach() + torch.from_numpy(rng.normal(size=weight.shape)) * 0.05
        assert objective(near, bias.detach(), kept(tmp_path, len(labels)).double(), labels, penalty) > value
    assert report.epochs == 1


def test_the_penalty_is_chosen_on_validation_data(tiny_config: MakeConfig, plugins: Plugins) -> None:
    penalties = [1e-1, 1e-3, 1e-5]
    run, report = finetune(tiny_config(training__penalties=penalties, **KEYS), plugins, Display())
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["penalty"] for row in rows] == penalties
    losses = [row["train_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert report.val.accuracy == max(row["val_accuracy"] for row in rows)


def test_a_stopped_sweep_goes_on_where_it_was(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **KEYS), plugins, Display())
    config = tiny_config(run_dir=tmp_path / "stopped", **KEYS)
    with pytest.raises(StopAsked):
        finetune(config, plugins, StopAt("penalties", 2))
    run = Run(tmp_path / "stopped")
    finetune(run.config(trust_code=True), plugins, Display(), run)
    one, other = (load_file(r.path / "model.safetensors") for r in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cache__promise": "off"}, "lbfgs works on features computed once, and there are none: not asked for"),
        ({"head": {"use": "mlp", "hidden": [4]}}, "lbfgs fits a linear head, and more is left to train"),
    ],
    ids=str,
)
def test_what_cannot_be_solved_is_said(
    keys: dict[str, Any], message: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=message):
        finetune(tiny_config(**{**KEYS, **keys}), plugins, Display())


def test_settings_that_lbfgs_does_not_use_are_said_to_have_no_effect(tiny_config: MakeConfig, plugins: Plugins) -> None:
    warnings = prepare(tiny_config(training__lr=0.5, **KEYS), plugins, Display()).plan.warnings
    assert any("--lr" in text and "lbfgs" in text for text in warnings)
