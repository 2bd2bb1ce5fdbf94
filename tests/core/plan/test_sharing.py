"""What each of several processes holds of a network that is divided among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ft import FtError
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft.machine.python_display import printed
from ft.plan.text import print_phases


def said(config: Config, plugins: Plugins) -> str:
    plan = prepare(config, plugins, Display()).plan
    text = " ".join(printed(lambda display: print_phases([plan], display, 2)).split())
    return text.partition("divided ")[2]


def test_a_plan_says_what_each_process_holds(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    full = tiny_config(machine__shard=True, training__ema=0.9)
    plan = prepare(full, plugins, Display()).plan
    assert plan.divided is not None
    assert (plan.divided.bytes, plan.divided.trained, plan.divided.whole) == (4 * plan.trainable_numel,) * 2 + (0,)
    assert plan.divided.largest < plan.divided.bytes
    text = said(full, plugins)
    assert text.startswith("each of 2 processes holds about 1.7 KB of 3.3 KB of weights, 1.7 KB of 3.3 KB of gradients")
    assert "1.7 KB of 3.3 KB of their average" in text
    assert f"the largest of {plan.divided.blocks} blocks" in text


def test_what_is_computed_once_is_whole_until_it_is(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    plan = prepare(tiny_config(machine__shard=True, freeze=["all"]), plugins, Display()).plan
    assert plan.divided is not None
    assert (plan.divided.bytes, plan.divided.whole) == (4 * plan.trainable_numel, 4 * plan.frozen_numel)
    assert "until what is computed once is there" in said(tiny_config(machine__shard=True, freeze=["all"]), plugins)


@pytest.mark.parametrize("change", [{"training__optimizer": "lbfgs"}, {"machine__precision": "fp16"}])
def test_what_cannot_be_divided_is_refused(
    change: dict[str, object], tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    with pytest.raises(FtError, match="--shard"):
        prepare(tiny_config(machine__shard=True, freeze=["all"], **change), plugins, Display())


def test_a_network_that_is_whole_has_no_such_line(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    assert said(tiny_config(), plugins) == ""
