"""Processes that were started together find each other, through torch.distributed, and learn which of them is lost."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ft.errors import FtError
from ft.machine.bounded_store import BoundedStore
from ft.machine.distributed import ALONE, Processes, ProcessLost, Share, processes_asked_for, processes_here

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup

WAIT = 300.0
"""Seconds that a process waits for the others, where the config does not say."""
_STARTED = "start all of them with torchrun, with the same --rdzv-endpoint on every machine"
_LOOPBACK = "remote=[127."
_NAMED = (
    "the name of a machine stands for an address that only it itself can reach, as /etc/hosts often has it; set "
    "GLOO_SOCKET_IFNAME to its network interface, as ip addr lists them: GLOO_SOCKET_IFNAME=eth0"
)
_BEAT = 1.0
_MISSED = 4.0
"""Seconds without a sign of life after which a process is taken for dead by those that lost the connection to it."""
_ANSWERS = 20.0
"""Seconds in which whoever keeps what processes know of each other answers, also on a machine that is busy."""
_OF_CONNECTIONS = re.compile(
    r"gloo|nccl|connection (?:closed|reset|refused)|timed out waiting|socket ?timeout|broken pipe|failed to recv"
    r"|wait timeout|stopped waiting|process group",
    re.IGNORECASE,
)


class Several(Processes):
    """Processes that torch.distributed has joined, each with a thread that tells the others once a second that it is
    alive, and what it is doing."""

    def __init__(self, rank: int, world: int, wait: float, store: Store, beats: Store) -> None:
        self.share = Share(rank, world)
        self._wait, self._ended = wait, threading.Event()
        self._lasting, self._prefix = BoundedStore(store, min(wait, _ANSWERS)), f"ft/{_attempt()}/"
        self._what, self._told = "starting", 0
        self._thread = threading.Thread(target=self._beat, args=(beats,), name="ft-alive", daemon=True)
        self._thread.start()

    def doing(self, what: str) -> None:
        self._what = what

    def summed(self, *values: float) -> list[float]:
        import torch

        sums = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        given: list[float] = sums.tolist()
        return given

    def largest(self, value: int) -> int:
        import torch

        found = torch.tensor([value])
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found)

    def gathered(self, value: Any) -> list[Any]:
        import torch.distributed

        every: list[Any] = [None] * self.share.world
        torch.distributed.all_gather_object(every, value)
        return every

    def tell(self, value: Any) -> None:
        self._lasting.set(f"{self._prefix}told/{self._told}", json.dumps(value))
        self._told += 1

    def told(self) -> Any:
        name, self._told = f"{self._prefix}told/{self._told}", self._told + 1
        pause, heard, since = 0.01, self._signs(), time.monotonic()
        while not self._lasting.check([name]):
            if self._reasons():
                raise RuntimeError("process group: the first process ended")  # explained where errors are
            now = self._signs()
            if now.get(0) != heard.get(0):
                heard, since = now, time.monotonic()
            if time.monotonic() - since > self._wait:
                raise RuntimeError("process group: timed out waiting for the first process")
            time.sleep(pause)
            pause = min(2 * pause, 0.25)
        return json.loads(self._lasting.get(name))

    @contextmanager
    def other_way(self) -> Iterator[ProcessGroup | None]:
        from torch.distributed import ProcessGroup, destroy_process_group, new_group

        group = new_group(timeout=timedelta(seconds=self._wait))
        assert isinstance(group, ProcessGroup)  # every process belongs to it
        try:
            yield group
        finally:
            with suppress(RuntimeError):
                destroy_process_group(group)

    def remember(self, folder: str) -> None:
        self._lasting.set("ft/folder", folder)

    def remembered(self) -> str | None:
        if not _attempt():
            return None
        return self._lasting.get("ft/folder").decode() if self._lasting.check(["ft/folder"]) else None

    def end(self, why: BaseException | None) -> None:
        """Stop telling that this process is alive, and tell why it ends, unless it is only because another one did."""
        self._ended.set()
        self._thread.join(2 * _BEAT)
        if why is not None and not isinstance(why, ProcessLost):
            text = str(why) if isinstance(why, FtError) else f"{type(why).__name__}: {why}".strip(": ")
            with suppress(Exception):
                self._lasting.set(f"{self._prefix}ended/{self.share.rank}", text)

    @contextmanager
    def losses_explained(self, what_next: str = "") -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not _is_of_connections(error):
                raise
            try:
                found = self._who()
                told = self._reasons()
            except RuntimeError:  # whoever keeps what processes know of each other is gone
                found, told = {0: "process 0, or the machine that it runs on, is gone or cannot be reached"}, {}
            why = "; ".join(found.values()) or f"the processes lost each other: {str(error).splitlines()[0]}"
            raise ProcessLost(f"{why}. {what_next}".strip(), [rank for rank in found if rank not in told]) from error

    def _who(self) -> dict[int, str]:
        before, deadline = self._signs(), time.monotonic() + _MISSED
        while time.monotonic() < deadline:
            if reasons := self._reasons():
                return {rank: f"process {rank} of {self.share.world} ended: {why}" for rank, why in reasons.items()}
            time.sleep(0.1)
        now = self._signs()
        silent = [rank for rank in range(self.share.world) if now.get(rank) == before.get(rank)]
        if silent:
            return {rank: f"{self._called(rank, now)} is gone or does not answer" for rank in silent}
        late = f"did not come for {self._wait:.0f} s to where the others wait"
        return {rank: f"{self._called(rank, now)} {late}" for rank, sign in now.items() if sign.what != self._what}

    def _called(self, rank: int, signs: dict[int, _Sign]) -> str:
        sign = signs.get(rank)
        known = f" (pid {sign.pid} on {sign.host}, last seen at: {sign.what})" if sign else " (never heard of)"
        return f"process {rank} of {self.share.world}{known}"

    def _reasons(self) -> dict[int, str]:
        names = {rank: f"{self._prefix}ended/{rank}" for rank in range(self.share.world)}
        return {r: self._lasting.get(name).decode() for r, name in names.items() if self._lasting.check([name])}

    def _signs(self) -> dict[int, _Sign]:
        names = {rank: f"{self._prefix}alive/{rank}" for rank in range(self.share.world)}
        there = {rank: name for rank, name in names.items() if self._lasting.check([name])}
        return {rank: _Sign(**json.loads(self._lasting.get(name))) for rank, name in there.items()}

    def _beat(self, store: Store) -> None:
        count, name = 0, f"{self._prefix}alive/{self.share.rank}"
        while True:
            sign = _Sign(count, os.getpid(), socket.gethostname(), self._what)
            with suppress(RuntimeError):  # whoever keeps it is gone: this process learns so where it needs the others
                store.set(name, json.dumps(asdict(sign)))
            count += 1
            if self._ended.wait(_BEAT):
                return


@dataclass(frozen=True)
class _Sign:
    """A sign of life: how many there were before it, of which process, and what that is doing."""

    count: int
    pid: int
    host: str
    what: str


@contextmanager
def joined(device: str, wait: float | None) -> Iterator[Processes]:
    """A block in which the processes that were started together are joined, on `device` as a config names it.

    Raises FtError where they do not find each other, or a machine has fewer GPUs than processes; and ProcessLost, in
    the block, where one of them ends or does not answer for `wait` seconds.
    """
    share, wait = processes_asked_for(), WAIT if wait is None else wait
    if share.world == 1:
        yield ALONE
        return
    import torch.distributed as dist
    from torch._C._distributed_c10d import PrefixStore

    mine = not dist.is_initialized()
    several = None
    ended: BaseException | None = None
    try:
        try:
            stores = [_store(share, wait) for _ in range(2)]
            if mine:
                # Processes in whose place these were started left their addresses in the store.
                names = PrefixStore(f"torch/{_attempt()}", stores[0])
                time_out = timedelta(seconds=wait)
                dist.init_process_group(
                    _backend(device), store=names, rank=share.rank, world_size=share.world, timeout=time_out
                )
        except RuntimeError as error:
            where, why = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}", str(error).splitlines()[0]
            raise FtError(
                f"process {share.rank} of {share.world} did not find the others at {where} ({why}); "
                + (_NAMED if share.world > processes_here() and _LOOPBACK in why else _STARTED)
            ) from error
        several = Several(share.rank, share.world, wait, *stores)
        with several.losses_explained():
            yield several
    except BaseException as error:
        ended = error
        raise
    finally:
        if several is not None:
            several.end(ended)
        if mine and dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()


def _attempt() -> int:
    """How often the processes were started again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def _store(share: Share, wait: float) -> Store:
    """What processes find each other by: torchrun's, or where it has none, one that the first process keeps."""
    from torch._C._distributed_c10d import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    keeps = share.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    how = (host, port, share.world, keeps, timedelta(seconds=wait))
    return TCPStore(*how, wait_for_workers=False, multi_tenant=True)


def _is_of_connections(error: RuntimeError) -> bool:
    """Whether sending something to another process failed: what torch and gloo raise there has no class of its own."""
    return bool(_OF_CONNECTIONS.search(str(error)))


def _backend(device: str) -> str:
    """What sends tensors: gloo those on the CPU, NCCL those on GPUs, of which each process takes its own."""
    import torch

    kind = torch.device(device).type if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if kind != "cuda":
        return "gloo"
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= there:
        raise FtError(f"this machine has {there} GPUs and {local + 1} processes or more; start one for each GPU")
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"
