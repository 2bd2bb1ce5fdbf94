"""`--locked`: the components of an earlier run, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ft import FtError
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.plan.components import components_of
from ft.run.locked import check_locked, describe_component
from ft.run.records import ComponentUsed, VersionsFile


def recorded(config: Config, plugins: Plugins, *left_out: str) -> VersionsFile:
    used = [describe_component(component) for _, component in components_of(config, plugins)]
    kept = tuple(ComponentUsed(**each) for each in used if each["kind"] not in left_out)
    return VersionsFile.model_construct(components=kept)


def test_a_run_of_before_there_were_optimizers_can_be_repeated(
    tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config(freeze=["all"])
    check_locked(config, plugins, recorded(config, plugins, "optimizer"), "r")
    other = recorded(tiny_config(freeze=["all"], training__optimizer="sgd"), plugins)
    with pytest.raises(FtError, match="optimizer 'adamw' was not used"):
        check_locked(config, plugins, other, "r")
    with pytest.raises(FtError, match="freezing strategy 'all' was not used"):
        check_locked(config, plugins, recorded(config, plugins, "freeze"), "r")
