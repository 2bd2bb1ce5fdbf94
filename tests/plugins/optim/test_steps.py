"""What is particular to each optimizer; what all promise is in the conformance kit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ft.config.loading import load_config
from ft.extension.installed import Plugins, load_plugins
from ft.extension.records import Candidate
from ft.plan.optimizer import ChosenOptimizer, choose_optimizer


def chosen(plugins: Plugins, name: str, **settings: Any) -> ChosenOptimizer:
    config = load_config(flags={"backbone": "a:b", "training.optimizer": {"use": name, **settings}})
    return choose_optimizer(config, plugins)


def parameter(*shape: int) -> nn.Parameter:
    made = nn.Parameter(torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape) / 10)
    made.grad = torch.linspace(-1, 2, made.numel()).reshape(shape)
    return made


def stepped(made: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    for _ in range(3):
        made.step()
    return [each.detach().clone() for each in parameters]


@pytest.mark.parametrize(
    ("name", "settings", "torchs"),
    [
        ("adamw", {}, lambda groups: torch.optim.AdamW(groups, lr=0.0, fused=True)),
        ("adamw", {"betas": [0.8, 0.9]}, lambda groups: torch.optim.AdamW(groups, betas=(0.8, 0.9), fused=True)),
        ("sgd", {}, lambda groups: torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, fused=True)),
        ("sgd", {"momentum": 0.0}, lambda groups: torch.optim.SGD(groups, lr=0.0, fused=True)),
        ("nadam", {}, lambda groups: torch.optim.NAdam(groups, decoupled_weight_decay=True)),
        ("radam", {}, lambda groups: torch.optim.RAdam(groups, decoupled_weight_decay=True)),
        ("adafactor", {}, lambda groups: torch.optim.Adafactor(groups)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_torchs_optimizers_take_torchs_steps(
    name: str, settings: dict[str, Any], torchs: Any, plugins: Plugins
) -> None:
    def groups(parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        first, *others = parameters
        return [
            {"params": [first], "lr": 0.1, "weight_decay": 0.5},
            {"params": others, "lr": 0.01, "weight_decay": 0.0},
        ]

    ours, theirs = ([parameter(4, 3), parameter(2, 3, 1, 1), parameter(4)] for _ in range(2))
    mine = stepped(chosen(plugins, name, **settings).build(groups(ours)), ours)
    assert all(map(torch.equal, mine, stepped(torchs(groups(theirs)), theirs)))


def test_muon_steps_matrices_and_leaves_the_rest_to_adamw(plugins: Plugins) -> None:
    ours, theirs = ([parameter(4, 3), parameter(2, 3, 1, 1), parameter(4)] for _ in range(2))
    made = chosen(plugins, "muon").build([{"params": ours, "lr": 0.1, "weight_decay": 0.0}])
    assert [[tuple(p.shape) for p in group["params"]] for group in made.param_groups] == [
        [(4, 3)],
        [(2, 3, 1, 1), (4,)],
    ]
    adamw = torch.optim.AdamW([{"params": theirs, "lr": 0.1, "weight_decay": 0.0}], fused=True)
    matrix, *others = stepped(made, ours)
    as_adamw, *same = stepped(adamw, theirs)
    assert all(map(torch.equal, others, same))
    assert not torch.equal(matrix, as_adamw)
    assert made.state[ours[0]].keys() == {"momentum_buffer"}
    assert made.state[ours[2]].keys() == {"step", "exp_avg", "exp_avg_sq"}


def test_muon_does_without_matrices(plugins: Plugins) -> None:
    bias = parameter(4)
    made = chosen(plugins, "muon").build([{"params": [bias], "lr": 0.1, "weight_decay": 0.0}])
    assert not torch.equal(stepped(made, [bias])[0], parameter(4))


@pytest.mark.parametrize(("name", "settings", "state"), [("adamw", {}, 2), ("sgd", {}, 1), ("sgd", {"momentum": 0}, 0)])
def test_how_much_is_kept_for_each_parameter_is_as_said(
    name: str, settings: dict[str, Any], state: int, plugins: Plugins
) -> None:
    one = parameter(4, 3)
    optimizer = chosen(plugins, name, **settings)
    made = optimizer.build([{"params": [one], "lr": 0.1, "weight_decay": 0.0}])
    made.step()
    kept = sum(each.numel() for each in made.state[one].values() if each is not None and each.numel() > 1)
    assert optimizer.planned().state == state == kept / one.numel()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_sweep_steps_each_row_as_the_optimizer_whose_rule_it_has(name: str, plugins: Plugins) -> None:
    rates, decays, (first, second) = (0.1, 0.02), (0.5, 0.0), (parameter(4, 3), parameter(4, 3))
    both = nn.Parameter(torch.stack([first.detach(), second.detach()]))
    assert first.grad is not None
    both.grad = torch.stack([first.grad, first.grad])
    lr, decay = (torch.tensor(each).view(2, 1, 1) for each in (rates, decays))
    made = chosen(plugins, "sweep", rule=name).build([{"params": [both], "lr": lr, "weight_decay": decay}])
    (together,) = stepped(made, [both])
    for row, alone in enumerate((first, second)):
        group = {"params": [alone], "lr": rates[row], "weight_decay": decays[row]}
        (expected,) = stepped(chosen(plugins, name).build([group]), [alone])
        torch.testing.assert_close(together[row], expected)


def test_a_sweep_takes_each_rate_with_each_decay_and_seed_once(plugins: Plugins) -> None:
    planned = chosen(plugins, "sweep", rates=[0.1, 0.01, 0.1], decays=[0.0], seeds=2).planned()
    assert planned.candidates == tuple(Candidate(lr, 0.0, seed) for lr in (0.01, 0.1) for seed in (0, 1))
    assert planned.fits_heads
    assert not planned.solves


def test_all_come_from_one_package_and_load_no_torch_to_be_listed() -> None:
    listed = load_plugins(environ={"FT_NO_THIRD_PARTY": "1"}).components("optimizer")
    assert [each.name for each in listed] == ["adafactor", "adamw", "lbfgs", "muon", "nadam", "radam", "sgd", "sweep"]
    assert [each.name for each in listed if each.record.solves] == ["lbfgs"]
