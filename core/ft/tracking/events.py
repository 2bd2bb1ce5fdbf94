"""What a run tells while it works: plain records, each of which stands by itself.

`RunStarted` comes first, and of each event what it tells of has happened. The last one is `RunEnded` or `RunFailed`;
only a process that is killed tells neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ft.extension.tasks import Figure
    from ft.plan.records import Plan
    from ft.run.position import EpochRecord, Phase
    from ft.run.report import Report


@dataclass(frozen=True)
class RunStarted:
    """A run begins in its `folder`, or where it is `resumed` goes on there.

    `config` is what config.yaml holds, as plain data and without secrets, with what followed from the data, the network
    and the machine filled in; `notes` are about the network. `history` are the epochs that were finished before.
    """

    folder: Path
    config: Mapping[str, Any]
    plan: Plan
    notes: tuple[str, ...] = ()
    resumed: bool = False
    history: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins: the first of a new run, the next one of its config's, or one with another freeze, other rates or
    another number of epochs. `plan` is what will happen in it."""

    phase: Phase
    plan: Plan | None = None


@dataclass(frozen=True)
class FeaturesReady:
    """What the frozen prefix gives is there, for which so many images (and views) were `computed` and `decoded`."""

    computed: int
    decoded: int
    seconds: float


@dataclass(frozen=True)
class ImagesReady:
    """Decoded images are there, for which so many were `decoded` in so many seconds, and `ahead`, to be checked."""

    decoded: int
    seconds: float
    ahead: int = 0


@dataclass(frozen=True)
class EpochDone:
    """An epoch of `epochs` is finished, evaluated and saved, after `step` optimizer steps of the whole run.

    `is_best` says that no epoch before it was better by the monitored figure. `about` says what figures are called.
    """

    record: EpochRecord
    epochs: int
    step: int
    is_best: bool
    about: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class PenaltyDone:
    """The head is fitted with one of `penalties` penalties, evaluated and saved; it stands for an epoch, and a step."""

    record: EpochRecord
    penalties: int
    is_best: bool
    about: tuple[Figure, ...] = ()

    @property
    def step(self) -> int:
        return self.record.epoch


@dataclass(frozen=True)
class CheckpointSaved:
    """The state after `epoch` finished epochs and `step` steps of the next one is in the file at `path`: best.pt, or
    last.pt."""

    path: Path
    epoch: int
    step: int


@dataclass(frozen=True)
class RunEnded:
    """The run is done. `files` are those in its folder that say what was asked for and what came of it."""

    report: Report
    files: tuple[Path, ...]


@dataclass(frozen=True)
class RunFailed:
    """The run came to no end. Where it was `stopped`, as by Ctrl-C, its state is saved, unless that was cut short by a
    second Ctrl-C."""

    why: str
    stopped: bool


Event = (
    RunStarted
    | PhaseStarted
    | FeaturesReady
    | ImagesReady
    | EpochDone
    | PenaltyDone
    | CheckpointSaved
    | RunEnded
    | RunFailed
)
