"""What the steps of a run share: which images, how they are prepared, on which machine, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ft.config.schema import Config
from ft.data.augmentation import ChosenAugmentation
from ft.data.load import ImageData
from ft.extension.records import Preprocessing, Stage
from ft.extension.tasks import Figure
from ft.machine.devices import Machine
from ft.machine.display import Display
from ft.machine.distributed import ALONE, Processes
from ft.machine.signals import StopRequest
from ft.plan.optimizer import ChosenOptimizer
from ft.tracking.listener import Listener


@dataclass(frozen=True, eq=False)
class Looking:
    """How a network looks at images: how they are prepared, in what batches and by how many processes (`workers`) they
    come, where it computes, who sees how far it is, and what may ask it to stop. Nothing in it changes but `stop`."""

    preprocessing: Preprocessing
    batch_size: int
    workers: int | Literal["auto"]
    machine: Machine
    display: Display
    stop: StopRequest


@dataclass(frozen=True, eq=False)
class Job(Looking):
    """The same of a run, with its config and images, who is told what becomes of it, what takes its steps, and what
    varies its images. A phase of a run that has a time budget `ends_by` a moment, as time.monotonic tells it. The
    `stages` are those of the backbone."""

    config: Config
    data: ImageData
    tell: Listener
    optimizer: ChosenOptimizer
    augmentation: ChosenAugmentation
    ends_by: float | None = None
    processes: Processes = ALONE
    stages: tuple[Stage, ...] = ()

    @property
    def stepping(self) -> Processes:
        """Those processes that share the steps and validations: the first alone, where heads are fitted at once."""
        return ALONE if self.config.training.fits_heads else self.processes

    @property
    def figure(self) -> Figure:
        """The figure by which epochs are compared."""
        return self.data.task.figure(self.config.training.monitor)
