"""What the steps of a run share: which images, how they are prepared, on which machine, and who is told."""

from __future__ import annotations

from dataclasses import dataclass

from ft.config.schema import Config
from ft.data.load import ImageData
from ft.extension.records import Preprocessing
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.tracking.listener import Listener


@dataclass(frozen=True, eq=False)
class Job:
    """Nothing in it changes during a run but `stop`, which a signal sets."""

    data: ImageData
    preprocessing: Preprocessing
    config: Config
    machine: Machine
    display: Display
    stop: StopRequest
    tell: Listener
