from collections.abc import Callable
from typing import Any

import pytest
import torch

from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune, prepare
from ft.machine.display import Display
from ft_heads.gem import GemSettings, build, build_pool


def test_the_exponent_leads_from_the_mean_to_the_maximum() -> None:
    features = torch.rand(2, 5, 4, 3)
    mean, largest = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
    one, three, many = (build_pool(5, GemSettings(p=p))(features) for p in (1, 3, 100))
    assert torch.allclose(one, mean, atol=1e-6)
    assert bool((one < three).all())
    assert bool((three < many).all())
    assert torch.allclose(many, largest, atol=0.05)


def test_negative_features_count_as_nothing_and_give_no_nan() -> None:
    features = torch.full((1, 2, 2, 2), -3.0, requires_grad=True)
    pooled = build_pool(2, GemSettings())(features)
    pooled.sum().backward()
    assert float(pooled.detach().abs().max()) < 1e-5
    assert features.grad is not None
    assert bool(torch.isfinite(features.grad).all())


@pytest.mark.parametrize("learns", [True, False])
def test_the_exponent_trains_unless_told_not_to(learns: bool) -> None:
    pool = build_pool(5, GemSettings(learn_p=learns))
    assert pool.get_parameter("p").requires_grad is learns


def test_the_classifier_is_linear() -> None:
    assert build(5, 3, GemSettings())(torch.zeros(2, 5)).shape == (2, 3)


@pytest.mark.parametrize("head", ["gem", "attention-pool"])
def test_a_run_trains_the_pooling_with_all_else_frozen_and_computed_once(
    head: str, tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config("with-pooling", head=head, freeze=["all"])
    start = prepare(config, plugins, Display(), tensors="random")
    before = {name: tensor.clone() for name, tensor in start.model.module.state_dict().items()}
    run, report = finetune(config, plugins, Display())
    assert any(line.startswith("pool: ") and line.endswith("replaces AdaptiveAvgPool2d") for line in report.head)
    after: dict[str, Any] = torch.load(run.path / "last.pt", weights_only=True)["tensors"]
    pooling = next(name for name in after if name.startswith("pool."))
    assert set(after) == {"fc.weight", "fc.bias", pooling}
    assert not torch.equal(after[pooling], before[pooling])
