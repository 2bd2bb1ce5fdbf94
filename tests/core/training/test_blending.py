"""Blended images: mixup, CutMix, and manifold mixup on features that are computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from finished_runs import FinishedRun
from ft import FtError
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.extension.installed import Plugins
from ft.finetune import finetune, plan_phases, prepare
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.randomness import drawing_from, step_seed
from ft.machine.signals import StopAsked, StopRequest
from ft.plan.text import print_plan
from ft.run.folder import Run
from ft.training import feeds
from ft.training.blending import ITSELF, Blend, draw_blend
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import open_feed
from ft.training.loss_scale import LossScale
from ft.training.step import Batch, Learning, learn
from ft_tasks.cross_entropy import CrossEntropy
from signal_at_progress import SignalAtProgress
from steps import alone

MakeConfig = Callable[..., Config]
FROZEN: dict[str, Any] = {
    "freeze": ["all"],
    "head": {"use": "mlp", "hidden": [6]},
    "images__augment": "none",
    "training__head_lr": 0.01,
}


def drawn(step: int, side: int = 32, **blends: float) -> Blend:
    with drawing_from(step_seed(0, step)):
        return draw_blend(TrainingConfig(**blends), side)


def learned(images: Tensor, labels: Tensor, **blends: float) -> tuple[float, Blend, nn.Module]:
    """The loss of one step of a linear layer on blended images, and how they were blended."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3))
    seen: list[Blend] = []

    def forward(images: Tensor, blend: Blend) -> Tensor:
        seen.append(blend)
        return cast(Tensor, module(blend.of(images)))

    feed = cast(Any, SimpleNamespace(forward=forward, torch_only=True))
    machine, training = Machine("cpu", "fp32", False), TrainingConfig(**blends)
    learning = Learning(
        module,
        alone(module, feed, training),
        CrossEntropy(None, 0.0),
        0.0,
        training,
        machine,
        [],
        LossScale(machine),
        images.shape[-1],
    )
    loss, _, _ = learn(Batch.of_one_process(images, labels, 8), 1, learning)
    return loss, seen[0], module


@pytest.mark.parametrize("blends", [{"mixup": 0.4}, {"cutmix": 1.0}], ids=str)
def test_a_blended_image_counts_for_both_of_its_labels(blends: dict[str, float]) -> None:
    """The loss of a blend is the blend of the losses: Zhang et al. 2018, section 2; Yun et al. 2019, section 3.1."""
    images, labels = torch.randn(8, 3, 16, 16), torch.randint(3, (8,))
    loss, blend, module = learned(images, labels, **blends)
    assert 0 < blend.share < 1
    inside = torch.full((16, 16), 1 - blend.share)
    if blend.box:
        top, left, bottom, right = blend.box
        inside = torch.zeros(16, 16)
        inside[top:bottom, left:right] = 1.0
        assert blend.share == pytest.approx(1 - float(inside.mean()))
    logits = module((1 - inside) * images + inside * images.flip(0))
    targets = blend.share * one_hot(labels, 3) + (1 - blend.share) * one_hot(labels.flip(0), 3)
    assert loss == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-5)


def test_a_blend_is_a_function_of_the_seed_and_the_step() -> None:
    asked = {"mixup": 0.4, "cutmix": 1.0}
    once = [drawn(step, **asked) for step in range(200)]
    assert once == [drawn(step, **asked) for step in reversed(range(200))][::-1]
    assert len(set(once)) > 190
    assert 70 < sum(each.box is not None for each in once) < 130
    assert drawn(0) is ITSELF


def test_boxes_lie_inside_and_have_the_area_that_is_drawn() -> None:
    shares = []
    for step in range(400):
        blend = drawn(step, cutmix=1.0)
        assert blend.box is not None
        top, left, bottom, right = blend.box
        assert 0 <= top <= bottom <= 32
        assert 0 <= left <= right <= 32
        assert blend.share == 1 - (bottom - top) * (right - left) / 32**2
        shares.append(blend.share)
    assert 0.5 < sum(shares) / len(shares) < 0.75  # a half, and more where boxes reach over the edge
    assert min(shares) < 0.3
    assert max(shares) > 0.99


def test_an_image_in_the_middle_of_a_batch_stays_itself() -> None:
    images = torch.randn(3, 3, 4, 4)
    for blend in (Blend(0.3), Blend(0.75, (0, 0, 2, 2))):
        made = blend.of(images)
        torch.testing.assert_close(made[1], images[1])
        assert not torch.equal(made[0], images[0])
    assert ITSELF.of(images) is images
    kept = images.clone()
    Blend(0.75, (0, 0, 2, 2)).of(images)
    assert torch.equal(images, kept)


@pytest.mark.parametrize(("name", "said"), [("mixup", "mixup"), ("cutmix", "CutMix")])
def test_blended_images_are_a_barrier_and_the_plan_says_so(
    name: str, said: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    plan = prepare(tiny_config(freeze=["all"], **{f"training__{name}": 0.2}), plugins, Display()).plan.cache
    assert (plan.keeps, plan.prefix_flops) == ("images", 0)
    assert plan.reason.startswith(f"{said} blends images anew in every step")


def test_blended_images_change_what_is_learned_and_a_stop_does_not(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {**FROZEN, "training__mixup": 0.9, "training__cutmix": 0.9}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", **FROZEN), plugins)
    mixed = FinishedRun(tiny_config(run_dir=tmp_path / "mixed", **keys), plugins)
    assert plain.metrics != mixed.metrics
    with pytest.raises(StopAsked):
        finetune(tiny_config(run_dir=tmp_path / "run", **keys), plugins, SignalAtProgress("epoch 2/2", 4))
    run = Run(tmp_path / "run")
    finetune(run.config(True), plugins, Display(), run)
    assert all(
        torch.equal(each, mixed.weights[name]) for name, each in load_file(run.path / "model.safetensors").items()
    )


def test_manifold_mixup_blends_what_is_computed_once(tiny_config: MakeConfig, plugins: Plugins) -> None:
    ready = prepare(tiny_config(training__manifold_mixup=0.4, **FROZEN), plugins, Display(), "random")
    module = ready.model.module
    feed = open_feed(module, ready.plan, ready.prefix, ready.store, ready.job(Display(), StopRequest(), print))
    assert isinstance(feed, FeatureFeed)
    module.eval()
    (inputs, _), *_ = feed.batches(0, 0)
    (kept,) = inputs
    entered: list[Tensor] = []
    first = next(each for each in module.fc.modules() if isinstance(each, nn.Linear))
    with first.register_forward_pre_hook(lambda _, given: entered.append(given[0].detach())):
        plain, blended = feed.forward(inputs), feed.forward(inputs, Blend(0.3))
    torch.testing.assert_close(entered[1], 0.3 * entered[0] + 0.7 * entered[0].flip(0))
    torch.testing.assert_close(entered[0], kept)
    assert not torch.allclose(plain, blended)


def test_features_are_computed_once_with_manifold_mixup_and_training_differs(
    tiny_config: MakeConfig, plugins: Plugins, tmp_path: Path
) -> None:
    keys: dict[str, Any] = {**FROZEN, "training__manifold_mixup": 0.9}
    plain = FinishedRun(tiny_config(run_dir=tmp_path / "plain", **FROZEN), plugins)
    mixed = FinishedRun(tiny_config(run_dir=tmp_path / "mixed", **keys), plugins)
    assert (mixed.report.cache.promise, mixed.report.cache.computed) == ("exact", 0)  # those of the first run
    assert plain.metrics != mixed.metrics


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"freeze": []}, "where it is computed once, and nothing is: nothing is frozen.* Use --mixup, which"),
        ({"cache__promise": "off"}, r"and nothing is: not asked for \(--cache off\)"),
        ({"training__mixup": 0.2}, "--mixup blends images, and --manifold-mixup what is computed of them once"),
        ({"training__cutmix": 0.2}, "--cutmix blends images, and --manifold-mixup what is computed of them once"),
        ({"freeze": ["all"], "training__optimizer": "lbfgs"}, "blends in steps, and --optimizer lbfgs fits heads with"),
    ],
    ids=str,
)
def test_manifold_mixup_that_cannot_be_is_refused(
    keys: dict[str, Any], said: str, tiny_config: MakeConfig, plugins: Plugins
) -> None:
    with pytest.raises(FtError, match=said):
        prepare(tiny_config(**{**FROZEN, "training__manifold_mixup": 0.4, **keys}), plugins, Display())


def test_manifold_mixup_without_the_features_that_were_planned_ends_the_run(
    tiny_config: MakeConfig, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prove(*_: Any) -> Any:
        raise feeds.NotProved("it was not so")

    monkeypatch.setattr(feeds, "prove", prove)
    with pytest.raises(FtError, match=r"cannot be computed once after all: it was not so\. Use --mixup"):
        finetune(tiny_config(training__manifold_mixup=0.4, **FROZEN), plugins, Display())


def test_the_plan_says_what_is_blended(
    tiny_config: MakeConfig, plugins: Plugins, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(**keys: Any) -> str:
        _, (plan,) = plan_phases(tiny_config(**{**FROZEN, **keys}), plugins, Display())
        capsys.readouterr()
        print_plan(plan, Display())
        return " ".join(capsys.readouterr().out.split())

    both = told(training__mixup=0.2, training__cutmix=1.0)
    assert "mixup, shares from Beta(0.2, 0.2), or CutMix, areas from Beta(1, 1), each in half of the steps" in both
    assert "pairs at the cut (manifold mixup), not images" in told(training__manifold_mixup=0.2)
    assert " blended " not in told()
