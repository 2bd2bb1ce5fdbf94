"""One process or many: which of them this is, and what they tell each other.

The processes are torchrun's, or those of anything else that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as it
does. The first of them, rank 0, alone prints, fetches and writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.config.schema import MachineConfig
from ft.errors import FtError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Share:
    """What one process computes of something that all share: process `rank` of `world`."""

    rank: int
    world: int

    def of(self, things: Sequence[Any]) -> list[Any]:
        """Every `world`-th of some things."""
        return list(things[self.rank :: self.world])


class ProcessLost(FtError):
    """Other processes of the run ended or do not answer; those of these `ranks` without a word."""

    def __init__(self, message: str, ranks: Sequence[int]) -> None:
        super().__init__(message)
        self.ranks = tuple(ranks)


class Processes:
    """All processes of a run, of which this is one; here the only one, which tells and waits for nobody."""

    share = Share(0, 1)

    @property
    def alone(self) -> bool:
        return self.share.world == 1

    @property
    def is_first(self) -> bool:
        return self.share.rank == 0

    def doing(self, what: str) -> None:
        """Note what this process is at, for the others to say where it stops to answer."""

    def summed(self, *values: float) -> list[float]:
        """The sums over all processes, the same in each of them to the last bit. Each has to ask for them."""
        return list(values)

    def largest(self, value: int) -> int:
        """The largest of what each process has."""
        return value

    def gathered(self, value: Any) -> list[Any]:
        """What each process has, by rank."""
        return [value]

    @contextmanager
    def all_or_none(self, *kinds: type[Exception]) -> Iterator[None]:
        """A block that every process comes through, or none: where one raises an error of these kinds, all do. Nothing
        in it may wait for the others."""
        mine: Exception | None = None
        try:
            yield
        except kinds as error:
            mine = error
        others = self.gathered(None if mine is None else (type(mine), str(mine)))
        if mine is not None:
            raise mine
        for kind, why in filter(None, others):
            raise kind(why)

    def tell(self, value: Any) -> None:
        """Let the others know a value of the first process, as JSON has them."""

    def told(self) -> Any:
        """What the first process tells next; wait until it does, for as long as it is alive."""
        raise AssertionError("there is nobody else")

    @contextmanager
    def losses_explained(self, what_next: str = "") -> Iterator[None]:
        """A block in which ProcessLost is raised where another process ends or does not answer, with `what_next`."""
        yield

    @contextmanager
    def other_way(self) -> Iterator[ProcessGroup | None]:
        """A block with connections of its own, where what is sent does not wait for what is sent outside of it."""
        yield None

    def remember(self, folder: str) -> None:
        """Keep where the run is, for processes that are started again in place of these."""

    def remembered(self) -> str | None:
        """Where the run is that processes before these began; None where there were none."""
        return None


ALONE = Processes()


def check_divided(machine: MachineConfig, share: Share) -> None:
    """Raise FtError where a network is to be divided among processes, and there is but one."""
    if machine.shard and share.world == 1:
        raise FtError(
            "--shard divides the network among processes, and there is one: add --nproc 2, or more, or start several "
            "with torchrun; or say --no-shard"
        )


def processes_asked_for() -> Share:
    """Which of how many processes this is, by the environment that torchrun sets; alone, where there is none."""
    env = os.environ
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= env.keys():
        return Share(0, 1)
    return Share(int(env["RANK"]), int(env["WORLD_SIZE"]))


def processes_here() -> int:
    """How many processes of the run this machine has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if processes_asked_for().world > 1 else 1
