"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft.machine.python_display import printed
from ft.plan.text import print_plan


@pytest.mark.parametrize(("promise", "on"), [("exact", "a training step on kept features"), ("off", "a training step")])
def test_speeds_are_plain_numbers_and_say_of_what(
    tiny_config: Callable[..., Config], plugins: Plugins, promise: str, on: str
) -> None:
    config = tiny_config(freeze=["all"], cache__promise=promise)
    plan = replace(prepare(config, plugins, Display()).plan, paces={"fp32": 52_123.4, "bf16": 6.31})
    text = " ".join(printed(lambda display: print_plan(plan, display)).split())
    assert f"(images a second in {on}: 52,100 in fp32, 6.31 in bf16)" in text


def test_a_fit_is_called_by_the_flag_that_asks_for_it(tiny_config: Callable[..., Config], plugins: Plugins) -> None:
    config = tiny_config(freeze=["all"], training__optimizer={"use": "lbfgs", "penalties": [0.1, 1]})
    plan = prepare(config, plugins, Display()).plan
    text = " ".join(printed(lambda display: print_plan(plan, display)).split())
    assert "steps --optimizer lbfgs fits the head with penalties 1, 0.1;" in text
