from collections.abc import Callable
from typing import Any

import ft_freeze_biggest.biggest
import pytest
from torch import nn

from ft import Backbone, FtError, Settings, Stage
from ft.testing import FreezeConformance


class TestConformance(FreezeConformance):
    component = "freeze:biggest"
    arguments = ("1", "5")


class TestUnpackaged(FreezeConformance):
    component = f"freeze:{ft_freeze_biggest.biggest.__file__}:Biggest"
    arguments = ("5",)


def backbone() -> Backbone:
    """Sizes: 0.weight 6, 0.bias 3, 1.weight 12, 1.bias 4; the head's weight has 40."""
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 10))
    return Backbone(module, head_paths=("2",), stages=(Stage("all", ("0", "1")),), feature_dim=4, name="tiny")


@pytest.mark.parametrize(
    ("count", "names"),
    [
        ("1", {"1.weight"}),
        ("2", {"1.weight", "0.weight"}),
        ("3", {"1.weight", "0.weight", "1.bias"}),
        ("4", {"1.weight", "0.weight", "1.bias", "0.bias"}),
    ],
)
def test_the_largest_tensors_are_frozen(count: str, names: set[str]) -> None:
    assert ft_freeze_biggest.biggest.Biggest().select(backbone(), count, Settings()) == names


@pytest.mark.parametrize("argument", [None, "", "0", "5", "-1", "many"])
def test_any_other_number_is_told(argument: str | None) -> None:
    with pytest.raises(FtError, match="biggest needs a number from 1 to 4 for tiny, as in 'biggest:5'"):
        ft_freeze_biggest.biggest.Biggest().select(backbone(), argument, Settings())


def test_ft_finds_it_by_its_entry_point(ft_cli: Callable[..., Any]) -> None:
    assert "ft-freeze-biggest " in ft_cli("describe", "freeze:biggest").stdout
