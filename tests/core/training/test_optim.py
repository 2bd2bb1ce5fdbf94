from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from ft.training.optim import check_state, lr_factor, optimizer_state, restore_optimizer


def test_the_learning_rate_warms_up_then_falls_to_nothing() -> None:
    factors = [lr_factor(step, 4, 20) for step in range(21)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert factors[20] == pytest.approx(0.0)
    assert factors[4:] == sorted(factors[4:], reverse=True)


@given(st.integers(0, 500), st.integers(0, 100), st.integers(1, 400))
def test_the_factor_never_leaves_zero_to_one(step: int, warmup: int, total: int) -> None:
    assert 0 <= lr_factor(step, warmup, total) <= 1


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_state_by_name_continues_where_it_stopped_though_groups_are_ordered_otherwise(
    kind: Literal["sgd", "adamw"],
) -> None:
    def build(
        names: list[list[str]], values: dict[str, torch.Tensor]
    ) -> tuple[nn.ParameterDict, torch.optim.Optimizer]:
        parameters = nn.ParameterDict({name: nn.Parameter(value.clone()) for name, value in values.items()})
        groups = [{"params": [parameters[n] for n in group], "names": group, "lr": 0.1} for group in names]
        cls = torch.optim.SGD if kind == "sgd" else torch.optim.AdamW
        return parameters, cls(groups, **({"momentum": 0.9} if kind == "sgd" else {}))

    def step(parameters: nn.ParameterDict, optimizer: torch.optim.Optimizer) -> None:
        sum(((p - 1) ** 2).sum() for p in parameters.values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    values = {"a": torch.tensor([3.0]), "b": torch.tensor([5.0, 7.0])}
    straight, straight_optimizer = build([["a", "b"]], values)
    step(straight, straight_optimizer)
    saved = optimizer_state(straight_optimizer)
    resumed, resumed_optimizer = build([["b"], ["a"]], {n: p.detach() for n, p in straight.items()})
    restore_optimizer(resumed_optimizer, saved)
    step(straight, straight_optimizer)
    step(resumed, resumed_optimizer)
    for name in values:
        assert torch.equal(straight[name], resumed[name])


def test_state_is_laid_out_in_memory_as_its_parameter_is() -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    optimizer = torch.optim.SGD([{"params": [parameter], "names": ["w"]}], lr=0.1, momentum=0.9, fused=True)
    mean = torch.randn(4, 3, 2, 2)
    restore_optimizer(optimizer, {"w": {"momentum_buffer": mean}})
    parameter.grad, before = torch.zeros_like(parameter), parameter.detach().clone()
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), before - 0.1 * 0.9 * mean)


def test_of_an_optimizer_that_cannot_step_by_itself_no_state_is_refused() -> None:
    class Asking(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return float(closure())

    chosen: Any = SimpleNamespace(build=lambda groups: Asking(groups), component=SimpleNamespace(name="asking"))
    check_state(chosen, nn.Linear(2, 2), {"weight": {"own": torch.zeros(3)}}, Path("last.pt"))
