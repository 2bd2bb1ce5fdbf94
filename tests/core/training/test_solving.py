from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.prefix.cut import choose_cut
from ft.prefix.find import FrozenPrefix
from ft.prefix.legality import mark
from ft.prefix.records import Price
from ft.run.checkpoints import load_checkpoint
from ft.run.folder import Run
from ft.task.evaluation import figures_of
from ft.training.feature_feed import FeatureFeed
from ft.training.logistic import Fit, fit_head
from signal_at_progress import SignalAtProgress

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
    return next(tensor for tensor in files if len(tensor) == rows and tensor.is_floating_point())


def test_the_fit_is_a_minimum_of_the_objective(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    penalty = 0.01
    config = tiny_config(training__penalties=[penalty], **KEYS)
    run, report = finetune(config, plugins, Display())
    data = prepare(config, plugins, Display()).data
    labels = torch.tensor([item.target for item in data.train])
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
    assert report.val["accuracy"] == max(row["val_accuracy"] for row in rows)


def test_a_stopped_sweep_goes_on_where_it_was(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **KEYS), plugins, Display())
    config = tiny_config(run_dir=tmp_path / "stopped", **KEYS)
    with pytest.raises(StopAsked):
        finetune(config, plugins, SignalAtProgress("penalties", 2))
    run = Run(tmp_path / "stopped")
    finetune(run.config(trust_code=True), plugins, Display(), run)
    one, other = (load_file(r.path / "model.safetensors") for r in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("moment", ["in the first fit", "in the third fit", "after the third fit"])
def test_a_sweep_stopped_within_a_fit_goes_on_from_the_one_before(
    moment: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = finetune(tiny_config(run_dir=tmp_path / "whole", **KEYS), plugins, Display())
    fits, chosen = 0, 1 if "first" in moment else 3

    def stopped(head: Any, regression: Any, penalty: float, check: Callable[[], None], minimiser: Any) -> Fit:
        nonlocal fits
        fits += 1
        evaluations = 0

        def counted() -> None:
            nonlocal evaluations
            evaluations += 1
            if (fits, evaluations) == (chosen, 4) and moment.startswith("in"):
                os.kill(os.getpid(), signal.SIGTERM)
            check()

        fit = fit_head(head, regression, penalty, counted, minimiser=minimiser)
        if fits == chosen:
            os.kill(os.getpid(), signal.SIGTERM)  # while the validation images are predicted
        return fit

    monkeypatch.setattr("ft.training.solving.fit_head", stopped)
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "stopped", **KEYS), plugins, Display())
    monkeypatch.setattr("ft.training.solving.fit_head", fit_head)
    run = Run(tmp_path / "stopped")
    assert fits == chosen
    finetune(run.config(trust_code=True), plugins, Display(), run)
    one, other = (load_file(r.path / "model.safetensors") for r in (whole, run))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert penalties_of(run) == penalties_of(whole)


def penalties_of(run: Run) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return [(row["penalty"], row["train_loss"]) for row in rows]


def test_a_sweep_does_not_go_on_with_other_penalties(tiny_config: MakeConfig, plugins: Plugins) -> None:
    with pytest.raises(StopAsked):
        finetune(tiny_config(training__penalties=[1e-1, 1e-2, 1e-3], **KEYS), plugins, SignalAtProgress("penalties", 2))
    config = tiny_config(training__penalties=[1e-1, 1e-3, 1e-4], **KEYS)
    with pytest.raises(FtError, match=r"cannot go on as it began: training\.penalties changed"):
        finetune(config, plugins, Display(), Run(config.run_dir or Path()))


def test_features_that_are_not_finite_are_named(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = FeatureFeed.everything

    def broken(feed: FeatureFeed) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, labels = everything(feed)
        inputs[[3, 5], 1] = torch.tensor([float("nan"), float("inf")])
        return inputs, labels

    monkeypatch.setattr(FeatureFeed, "everything", broken)
    config = tiny_config(**KEYS)
    path = prepare(config, plugins, Display()).data.train[3].picture.path
    message = f"the features of 2 of 20 training images are not finite, those of {path} first"
    with pytest.raises(FtError, match=re.escape(message)):
        finetune(config, plugins, Display())


@pytest.mark.parametrize(
    ("loss", "weight", "val_loss", "message"),
    [
        (
            float("nan"),
            7.0,
            1.0,
            r"the training loss became nan with penalty 0\.01; .*: --set 'training\.optimizer\.penalties=\[0\.1\]'",
        ),
        (1.0, float("inf"), 1.0, r"the largest weight became inf with penalty 0\.01; nothing of that fit was kept"),
        (1.0, 7.0, float("nan"), r"the validation loss became nan: features of validation images are not finite"),
    ],
)
def test_a_fit_that_is_not_finite_is_refused_and_not_kept(
    loss: float,
    weight: float,
    val_loss: float,
    message: str,
    tiny_config: MakeConfig,
    plugins: Plugins,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(head: Any, regression: Any, penalty: float, check: Callable[[], None], minimiser: Any) -> Fit:
        fit = fit_head(head, regression, penalty, check, minimiser=minimiser)
        if penalty == 0.1:
            return fit
        with torch.no_grad():
            head.weight.fill_(weight)
        monkeypatch.setattr("ft.training.solving.figures_of", lambda *args: {**figures_of(*args), "loss": val_loss})
        return replace(fit, loss=loss)

    monkeypatch.setattr("ft.training.solving.fit_head", broken)
    config = tiny_config(training__penalties=[0.1, 0.01], **KEYS)
    with pytest.raises(FtError, match=message):
        finetune(config, plugins, Display())
    for name in ("last", "best"):
        kept = load_checkpoint((config.run_dir or Path()) / f"{name}.pt")
        assert [record.penalty for record in kept.position.history] == [0.1]
        assert all(bool((tensor != weight).all()) for tensor in kept.tensors.values())


def test_an_infinite_penalty_is_refused(tiny_config: MakeConfig, plugins: Plugins) -> None:
    with pytest.raises(FtError, match=r"'training\.penalties\.0' cannot be inf"):
        tiny_config(training__penalties=[float("inf")], **KEYS)


def test_a_fit_that_has_not_converged_is_said(
    tiny_config: MakeConfig,
    plugins: Plugins,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finetune(tiny_config(training__penalties=[1e-3], **KEYS), plugins, Display())
    assert "lbfgs has not" not in capsys.readouterr().err
    monkeypatch.setattr("ft.training.logistic.MOST_ITERATIONS", 2)
    finetune(tiny_config(training__penalties=[1e-3], run_dir=tmp_path / "again", **KEYS), plugins, Display())
    said = capsys.readouterr().err
    assert "warning: with penalty 0.001, lbfgs has not reached the minimum in 2 iterations" in said


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cache__promise": "off"}, "lbfgs works on features computed once, and there are none: not asked for"),
        ({"training__mixup": 0.2, "cache__promise": "auto"}, "there are none: mixup blends images anew in every step"),
        ({"head": {"use": "mlp", "hidden": [4]}}, "lbfgs fits a linear head, and more is left to train"),
        (
            {"backbone": f"{TINY}:positional"},
            r"this backbone classifies every position and pools afterwards: classifier\.1: Conv2d.*--optimizer adamw",
        ),
    ],
    ids=str,
)
def test_the_plan_already_says_what_cannot_be_solved(
    keys: dict[str, Any], message: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=message):
        prepare(tiny_config(**{**KEYS, **keys}), plugins, Display())


def test_dropout_between_frozen_layers_plays_no_part(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys = {**KEYS, "backbone": f"{TINY}:mixed"}  # as VGG has it
    warnings = prepare(tiny_config(**keys), plugins, Display()).plan.warnings
    assert not any("dropout" in text for text in warnings)
    _, report = finetune(tiny_config(**keys), plugins, Display())
    assert report.cache.computed == 24


@pytest.mark.parametrize("always", ["dropout", "statistics"])
def test_features_that_change_by_themselves_are_not_solved_on(
    always: str, tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    change = {
        "dropout": "nn.functional.dropout(x, 0.5, training=True)",
        "statistics": "nn.functional.batch_norm(x, None, None, training=True)",
    }[always]
    (tmp_path / "mine.py").write_text(
        f"""
from dataclasses import replace
from torch import nn
from backbones import Small, small
from ft import BackboneProvider

class Changing(Small):
    def forward(self, images):
        x = self.layer2(self.layer1(self.stem(images * self.scale))).mean((2, 3))
        return self.fc({change})

def build(model_name, settings):
    return replace(small(), module=Changing())

Mine = BackboneProvider("mine", "x", models=lambda settings: ["net"], build=build)
"""
    )
    with pytest.raises(FtError, match=r"features that never change, and .* (draws|normalises with).*--optimizer adamw"):
        prepare(tiny_config(**{**KEYS, "backbone": f"{tmp_path}/mine.py:Mine:net"}), plugins, Display())


def test_what_lbfgs_does_not_train_is_said(tiny_config: MakeConfig, plugins: Plugins) -> None:
    warnings = prepare(tiny_config("with-aux", **KEYS), plugins, Display()).plan.warnings
    assert "lbfgs fits no auxiliary classifiers, which predictions do without: aux.2" in warnings
    dropping = tiny_config(**{**KEYS, "head": {"use": "linear", "dropout": 0.5}})
    warnings = prepare(dropping, plugins, Display()).plan.warnings
    assert "without effect with lbfgs: the head's dropout ('fc.0'), since the head is fitted in eval mode" in warnings


def test_features_kept_in_bf16_can_be_solved_on(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft.cache.decision.has_fast_bf16", lambda _: True)  # emulated where it is not
    _, report = finetune(
        tiny_config(**{**KEYS, "cache__promise": "fast", "machine__precision": "bf16"}), plugins, Display()
    )
    assert report.cache.promise == "fast"


def test_what_lies_between_the_cut_and_the_head_runs_before_the_head_is_fitted(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(prefix: FrozenPrefix, frozen: Collection[str], *_: Any) -> FrozenPrefix:
        sensitive = dict.fromkeys(prefix.cut.prefix_nodes[-4:], "computes an image differently")
        legality = mark(prefix.observed, frozen, sensitive)
        return FrozenPrefix(choose_cut(prefix.observed, legality, Price(bytes_per_s=1e15)), prefix.observed)

    _, at_the_head = finetune(tiny_config(run_dir=tmp_path / "at", **KEYS), plugins, Display())
    monkeypatch.setattr("ft.cache.proof.steady", moved)
    _, before_it = finetune(tiny_config(run_dir=tmp_path / "before", **KEYS), plugins, Display())
    assert before_it.cache.computed == at_the_head.cache.computed == 24
    assert before_it.val["loss"] == pytest.approx(at_the_head.val["loss"], rel=1e-4)


def test_settings_that_lbfgs_does_not_use_are_said_to_have_no_effect(tiny_config: MakeConfig, plugins: Plugins) -> None:
    keys = {**KEYS, "training__epochs": None}  # as many as follow from the images
    config = tiny_config(training__lr=0.5, training__patience=2, **keys)
    warnings = prepare(config, plugins, Display()).plan.warnings
    assert "without effect with lbfgs: training.head_lr, training.lr, training.patience" in warnings
    resolved = load_config(flags=tiny_config(**keys).model_dump())  # as in a run's config.yaml, which says everything
    assert not any("lbfgs" in text for text in prepare(resolved, plugins, Display()).plan.warnings)
