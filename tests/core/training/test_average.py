"""Averages of weights over steps: what is validated, saved and handed over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from backbones import Small
from finished_runs import FinishedRun, assert_same_outcome
from ft.config.schema import Config
from ft.errors import FtError
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from ft.tracking.events import CheckpointSaved, Event
from ft.training.average import Average, ema_share
from signal_at_progress import SignalAtProgress

MakeConfig = Callable[..., Config]
Tensors = dict[str, Tensor]


def by_hand(module: nn.Module, decay: float) -> AveragedModel:
    """torch's own average, with the same rule."""

    def rule(averaged: Tensor, own: Tensor, count: Tensor | int) -> Tensor:
        steps = int(count) - 1  # torch takes the first weights as they are
        share = 1 - min(decay, (1 + steps) / (10 + steps))
        return averaged + share * (own - averaged) if own.is_floating_point() else own

    averaged = AveragedModel(module, avg_fn=rule, use_buffers=True)
    averaged.update_parameters(module)
    return averaged


def test_the_average_is_that_of_torch_with_the_same_rule() -> None:
    torch.manual_seed(0)
    module = Small()
    average, expected = Average(module, module.state_dict()), by_hand(module, 0.3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for step in range(12):
        module(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        average.add(ema_share(0.3, step))
        expected.update_parameters(module)
    found, own = average.state(), {name: each.clone() for name, each in module.state_dict().items()}
    assert found.keys() == {name for name in own if not name.endswith("num_batches_tracked")}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected.module.state_dict()[name])
    assert not any(torch.equal(found[name], own[name]) for name in ("fc.weight", "stem.1.running_var"))
    with average.in_place():
        assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in found.items())
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in own.items())


def test_the_decay_grows_to_what_it_is_to_be() -> None:
    assert [round(1 - ema_share(0.9, steps), 3) for steps in (0, 1, 10, 80, 1000)] == [0.1, 0.182, 0.55, 0.9, 0.9]


def test_a_tensor_of_two_names_has_one_average() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    average = Average(module, module.state_dict())
    with torch.no_grad():
        module[0].weight.add_(2.0)
    before = average.state()["0.weight"].clone()
    average.add(0.5)
    assert average.state()["0.weight"].equal(average.state()["1.weight"])
    torch.testing.assert_close(average.state()["1.weight"], before + 1)


def test_an_average_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    average = Average(module, module.state_dict())
    with pytest.raises(FtError, match=r"last\.pt lacks 1 of the model's tensors, bias first"):
        average.restore({"weight": torch.zeros(2, 2)}, tmp_path / "last.pt")
    average.restore({"weight": torch.zeros(2, 2), "bias": torch.ones(2)}, tmp_path / "last.pt")
    assert average.state()["bias"].equal(torch.ones(2))
    average.restore({}, tmp_path / "last.pt")
    assert average.state()["bias"].equal(module.bias)


def weights_after_each_epoch(config: Config, plugins: Plugins) -> tuple[Run, list[Tensors]]:
    """A run, and what trained in it after each epoch, from before the first on, as training goes on from it."""
    found: list[Tensors] = [dict(prepare(config, plugins, Display(), "random").model.module.state_dict())]

    def listen(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and event.path.name == "last.pt":
            found.append(dict(Run(event.path.parent).read_checkpoint("last").tensors))

    run, _ = finetune(config, plugins, Display(), listeners=(listen,))
    return run, found


def test_what_is_saved_is_the_average_over_the_steps_of_the_same_training(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"training__epochs": 4, "training__batch_size": 100, "training__lr": 0.05}
    plain, steps = weights_after_each_epoch(tiny_config(run_dir=tmp_path / "plain", **keys), plugins)
    run, same = weights_after_each_epoch(tiny_config(run_dir=tmp_path / "ema", training__ema=0.6, **keys), plugins)
    assert all(torch.equal(one[name], other[name]) for one, other in zip(steps, same, strict=True) for name in one)
    expected = {name: tensor.clone() for name, tensor in steps[0].items() if tensor.is_floating_point()}
    for step, now in enumerate(steps[1:]):
        for name, tensor in expected.items():
            tensor.lerp_(now[name], 1 - min(0.6, (1 + step) / (10 + step)))
        if step + 1 == run.read_checkpoint("best").position.epoch:
            break
    saved = load_file(run.path / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(saved[name], tensor)
    last = run.read_checkpoint("last")
    assert last.average.keys() == expected.keys()
    assert not any(torch.equal(last.average[name], last.tensors[name]) for name in ("fc.weight", "stem.1.running_var"))
    assert plain.read_checkpoint("last").average == {}


def test_the_epochs_are_measured_with_the_average(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, report = finetune(tiny_config(training__ema=0.9, training__lr=0.05), plugins, Display())
    assert report.chosen_by == pytest.approx(report.val.figures)
    plain = FinishedRun(tiny_config(run_dir=run.path.with_name("plain"), training__lr=0.05), plugins)
    assert run.read_json("report.json")["chosen_by"]["loss"] != plain.report.chosen_by["loss"]


def test_it_is_the_same_on_kept_features_as_on_images(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {"freeze": ["all"], "training__head_lr": 0.05}
    runs = [
        FinishedRun(
            tiny_config(
                run_dir=tmp_path / cache, cache__promise=cache, images__augment="none", training__ema=0.7, **keys
            ),
            plugins,
        )
        for cache in ("exact", "off")
    ]
    assert runs[0].report.cache.promise == "exact"
    assert_same_outcome(*runs)
    assert runs[0].run.read_checkpoint("last").average.keys() <= runs[0].run.read_checkpoint("last").tensors.keys()


def test_a_stop_changes_nothing(tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"training__ema": 0.7, "training__lr": 0.01}
    whole = FinishedRun(tiny_config(run_dir=tmp_path / "whole", **keys), plugins)
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "run", **keys), plugins, SignalAtProgress("epoch 2/2", 5))
    run = Run(tmp_path / "run")
    finetune(run.config(True), plugins, Display(), run)
    assert whole.weights.keys() == load_file(run.path / "model.safetensors").keys()
    for name, tensor in load_file(run.path / "model.safetensors").items():
        assert torch.equal(tensor, whole.weights[name]), name
    for name, tensor in run.read_checkpoint("last").average.items():
        assert torch.equal(tensor, whole.run.read_checkpoint("last").average[name]), name


def test_a_phase_begins_with_the_average_of_the_one_before_and_an_average_of_its_own(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    first, second = {"ema": 0.9, "augment": "none"}, {"freeze": "all", "augment": "none"}
    alone, _ = finetune(tiny_config(run_dir=tmp_path / "one", phases=[first]), plugins, Display())
    begun = Run(Path(shutil.copytree(alone.path, tmp_path / "two")))
    config = begun.config(True)
    begun.write_config(type(config).model_validate({**config.model_dump(mode="json"), "phases": [first, second]}))
    finetune(begun.config(True), plugins, Display(), begun)
    averaged = load_file(alone.path / "model.safetensors")
    frozen = load_file(begun.frozen_file())
    assert torch.equal(frozen["layer2.0.weight"], averaged["layer2.0.weight"])
    assert begun.read_checkpoint("last").average == {}


def test_another_freeze_on_the_way_begins_the_average_anew(tiny_config: MakeConfig, plugins: Plugins) -> None:
    run, _ = finetune(tiny_config(training__ema=0.9, freeze=["all"], training__head_lr=0.05), plugins, Display())
    before = run.read_checkpoint("last")
    assert before.average.keys() == {"fc.weight", "fc.bias"}
    changes = {"freeze": ["none"], "training.epochs": 3, "training.batch_size": 8}
    finetune(run.config(True, changes), plugins, Display(), run)
    assert run.read_checkpoint("last").average.keys() > before.average.keys()


def test_an_average_without_steps_is_refused_by_its_name(tiny_config: MakeConfig, plugins: Plugins) -> None:
    config = tiny_config(training__ema=0.9, training__optimizer="lbfgs", freeze=["all"])
    with pytest.raises(FtError, match="--ema averages weights over steps, and --optimizer lbfgs takes none"):
        prepare(config, plugins, Display())
    phases = [{"freeze": "all", "optimizer": "lbfgs", "ema": None}, {"freeze": []}]
    assert prepare(tiny_config(training__ema=0.9, phases=phases), plugins, Display()).plan.optimizer.solves
