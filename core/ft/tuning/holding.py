"""Who works on a trial: a process says so again and again, and is gone when it does not, or is no process any more."""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

from ft.errors import FtError
from ft.machine.files import is_process

BEAT = 10.0
"""Seconds between two signs of life."""
GONE = 90.0
"""Seconds without one after which a process on another machine is taken to be gone."""


@dataclass(frozen=True)
class Holder:
    """A process, as trials name it: its machine (and its container there), its number, and a token of its own."""

    host: str
    pid: int
    token: str

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.token}"

    @staticmethod
    def read(text: str) -> Holder:
        host, pid, token = text.rsplit("/", 2)
        return Holder(host, int(pid), token)


def _host() -> str:
    space = ""
    with suppress(OSError):  # where processes of one machine have numbers of their own, as in containers
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return f"{platform.node()}-{space}"


def me() -> Holder:
    """This process."""
    return _holder(os.getpid())


@cache
def _holder(pid: int) -> Holder:
    return Holder(_host(), pid, secrets.token_hex(4))


@dataclass
class Watch:
    """Knows which holders are gone, from the signs of life that it has seen; no clock of another machine is asked."""

    patience: float = GONE
    _seen: dict[int, tuple[str, float]] = field(default_factory=dict)

    def is_gone(self, trial: int, held: str | None, beat: int, now: float | None = None) -> bool:
        """Whether nobody works on a trial that says by whom it is `held`, and how many signs of life there were: None
        is one that was let go, "" one of which nobody said yet that they hold it."""
        if held is None:
            return True
        holder = Holder.read(held) if held else None
        if holder and holder.host == me().host and (holder.pid == os.getpid() or not is_process(holder.pid)):
            return True  # who asks works on none; and numbers of processes come again
        now = time.monotonic() if now is None else now
        sign = f"{held} {beat}"
        last, since = self._seen.get(trial, ("", now))
        if last != sign:
            self._seen[trial] = (sign, now)
            return False
        return now - since > self.patience


@contextmanager
def beating(beat: Callable[[int], None], every: float | None = None) -> Iterator[None]:
    """A block beside which a thread calls `beat` with 1, 2, 3, again and again."""
    ended = threading.Event()

    def go_on() -> None:
        number = 0
        while not ended.wait(BEAT if every is None else every):
            number += 1
            with suppress(FtError):  # a storage that does not answer now may do so next time
                beat(number)

    thread = threading.Thread(target=go_on, name="trial", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
