"""Steps that tests take by themselves, of a network in one process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from torch import nn

from ft.config.training import TrainingConfig
from ft.machine.distributed import ALONE
from ft.machine.signals import StopRequest
from ft.training.joint import Joint


def alone(module: nn.Module, feed: Any, training: TrainingConfig) -> Joint:
    """What computes the steps of a module that `feed` feeds."""
    config = SimpleNamespace(training=training)
    job = SimpleNamespace(processes=ALONE, stepping=ALONE, stop=StopRequest(), config=config)
    return Joint(module, feed, cast(Any, job), [])
