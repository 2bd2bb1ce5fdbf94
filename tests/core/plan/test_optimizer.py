"""The optimizer that a config names: how it is found, what it is told, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ft import FtError, Optimizer, Settings
from ft.config.loading import load_config
from ft.config.schema import Config
from ft.config.training import TrainingConfig
from ft.extension.installed import Plugins
from ft.extension.references import parse_reference
from ft.plan.optimizer import choose_optimizer
from ft.text.documents import as_yaml

BACKBONE = {"backbone": "a:b"}


def record(plugins: Plugins, name: str) -> Optimizer:
    found: Optimizer = plugins.get("optimizer", parse_reference(name)).record
    return found


def resolved(plugins: Plugins, **training: Any) -> TrainingConfig:
    found = TrainingConfig.model_validate(training)
    return found.of(record(plugins, found.optimizer.use))


def rates(tmp_path: Path, plugins: Plugins, training: dict[str, Any], of_a_run: bool = True, **flags: Any) -> Any:
    """The rates of a config that is given `flags` over a file, which may be that of a run."""
    file = tmp_path / "config.yaml"
    whole = resolved(plugins, **training).model_dump(mode="json")
    file.write_text(as_yaml({**BACKBONE, "training": whole if of_a_run else training}))
    found = load_config(file, flags={f"training.{key}": value for key, value in flags.items()}).training
    found = found.of(record(plugins, found.optimizer.use))
    return found.lr, found.head_lr


def test_rates_that_followed_in_a_runs_config_follow_from_the_flags_again(tmp_path: Path, plugins: Plugins) -> None:
    assert rates(tmp_path, plugins, {}) == (0.0001, 0.001)
    assert rates(tmp_path, plugins, {}, lr=0.0002) == (0.0002, 0.001)
    assert rates(tmp_path, plugins, {}, lr=0.5) == (0.5, 0.5)
    assert rates(tmp_path, plugins, {}, optimizer="sgd") == (0.001, 0.01)
    assert rates(tmp_path, plugins, {"lr": 0.02}, optimizer="sgd") == (0.02, 0.02)
    assert rates(tmp_path, plugins, {"lr": 0.02}, lr=0.5) == (0.5, 0.5)


def test_rates_that_were_given_stay(tmp_path: Path, plugins: Plugins) -> None:
    given = {"lr": 0.0001, "head_lr": 0.001}
    for of_a_run in (True, False):
        assert rates(tmp_path, plugins, given, of_a_run, optimizer="sgd") == (0.0001, 0.001)
        assert rates(tmp_path, plugins, given, of_a_run, lr=0.5) == (0.5, 0.001)
    assert rates(tmp_path, plugins, {"head_lr": 0.005}, lr=0.5) == (0.5, 0.005)


def test_the_heads_rate_is_its_own_until_the_backbones_is_larger(plugins: Plugins) -> None:
    found = {lr: resolved(plugins, lr=lr).head_lr for lr in (1e-5, 1e-3, 3e-3)}
    assert found == {1e-5: 1e-3, 1e-3: 1e-3, 3e-3: 3e-3}
    assert resolved(plugins, lr=0.1, head_lr=1e-4).head_lr == 1e-4


def test_each_optimizer_has_rates_and_a_weight_decay_of_its_own(plugins: Plugins, ft_registry: Any) -> None:
    assert [resolved(plugins, optimizer=o).weight_decay for o in ("adamw", "sgd")] == [1e-2, 1e-4]
    mine = Optimizer("mine", "Mine", build=lambda groups, settings: None, lr=0.5, head_lr=0.25, weight_decay=0.125)
    found = resolved(ft_registry(mine), optimizer="mine")
    assert (found.lr, found.head_lr, found.weight_decay) == (0.5, 0.25, 0.125)
    assert found.derived == ("lr", "head_lr", "weight_decay")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_typing_a_default_changes_no_value(name: str, plugins: Plugins) -> None:
    usual = resolved(plugins, optimizer=name)
    for key, value in usual:
        typed = resolved(plugins, **{"optimizer": name, key: value})
        assert typed.model_copy(update={"derived": usual.derived}) == usual, key


def settings_of(plugins: Plugins, **training: Any) -> Any:
    return choose_optimizer(load_config(flags={**BACKBONE, "training": training}), plugins).settings


def test_settings_are_given_to_the_optimizer_or_by_their_older_names(plugins: Plugins) -> None:
    assert settings_of(plugins, optimizer="sgd").momentum == 0.9
    assert settings_of(plugins, optimizer={"use": "sgd", "momentum": 0.8}).momentum == 0.8
    assert settings_of(plugins, optimizer="sgd", momentum=0.8).momentum == 0.8
    assert settings_of(plugins, optimizer="lbfgs", penalties=[0.1]).penalties == (0.1,)
    config = load_config(None, ["training.optimizer.momentum=0.8"], {**BACKBONE, "training.optimizer": "sgd"})
    assert choose_optimizer(config, plugins).settings.momentum == 0.8
    with pytest.raises(FtError, match=r"training\.momentum is the older name of training\.optimizer\.momentum"):
        settings_of(plugins, optimizer={"use": "sgd", "momentum": 0.8}, momentum=0.7)


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ("adam", "no optimizer named 'adam'. Did you mean 'adamw'? Installed: "),
        ({"use": "adamw", "momentum": 0.9}, "unknown setting 'training.optimizer.momentum'. It takes: betas, eps"),
        ({"use": "sgd", "momentum": 1.0}, "setting 'training.optimizer.momentum' cannot be 1.0"),
        ({"use": "lbfgs", "penalties": []}, "setting 'training.optimizer.penalties' cannot be []"),
    ],
)
def test_what_an_optimizer_does_not_take_is_told(optimizer: Any, told: str, plugins: Plugins) -> None:
    with pytest.raises(FtError) as error:
        settings_of(plugins, optimizer=optimizer)
    assert str(error.value).startswith(told)


def test_what_solves_needs_penalties(ft_registry: Any) -> None:
    mine = Optimizer("mine", "Mine", build=lambda groups, settings: None, solves=True, settings=Settings)
    with pytest.raises(FtError, match="optimizer 'mine' solves, and has no setting 'penalties'"):
        settings_of(ft_registry(mine), optimizer="mine")


LOOSE = '''
class Quick:
    """Adam of another name"""

    lr = 0.05
    head_lr = 0.1

    def build(self, groups, settings):
        """As torch has it."""
        import torch

        return torch.optim.RMSprop(groups, momentum=0.9)


class Forgetful:
    """Leaves out a group"""

    def build(self, groups, settings):
        import torch

        return torch.optim.SGD(groups[:1])


def nothing(groups, settings):
    return groups
'''


def test_an_optimizer_in_a_file_trains_thaws_and_goes_on(
    tmp_path: Path, tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    from ft.finetune import finetune
    from ft.machine.display import Display

    (tmp_path / "mine.py").write_text(LOOSE)
    config = tiny_config(training__optimizer=f"{tmp_path / 'mine.py'}:Quick", freeze=["until:layer1"])
    run, _ = finetune(config, plugins, Display())
    assert {group["lr"] for group in run.plan_file().model_dump()["groups"]} == {0.05, 0.1}
    more = run.config(True, {"freeze": ["until:stem"], "train": [], "training.epochs": 3})
    _, report = finetune(more, plugins, Display(), run)  # what is newly trained has no state yet, with momentum or not
    assert len(report.phases) == 2
    assert any(each.kind == "optimizer" and each.name == "Quick" for each in run.versions_file().components)


@pytest.mark.parametrize(
    ("name", "told"),
    [("Forgetful", "does not hold each parameter that it was given"), ("nothing", "has to return a torch.optim.Optim")],
)
def test_what_is_no_optimizer_over_the_groups_is_the_plugins_fault(
    name: str, told: str, tmp_path: Path, tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    from ft.finetune import finetune
    from ft.machine.display import Display

    (tmp_path / "mine.py").write_text(LOOSE)
    with pytest.raises(TypeError, match=told):
        finetune(tiny_config(training__optimizer=f"{tmp_path / 'mine.py'}:{name}"), plugins, Display())
