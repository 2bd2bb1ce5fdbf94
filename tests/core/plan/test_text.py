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
