"""Networks run in several threads at once; whoever changes how torch runs them all does so while none does.

Multi-head attention's fast path is a switch of the whole process, and torch.export wraps every module's call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


class _Turns:
    """Any number of blocks that share, or one that is alone; who waits to be alone comes before new ones that share."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nobody has a turn."""
        self._changed = threading.Condition()  # whose lock is held by who is alone
        self._sharing = self._waiting = 0

    @contextmanager
    def share(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._sharing)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            yield


_TURNS = _Turns()
if hasattr(os, "register_at_fork"):  # a process that starts while another thread has its turn has threads no more
    os.register_at_fork(after_in_child=_TURNS.begin_anew)


def running_a_network() -> AbstractContextManager[None]:
    """A block in which a network runs as torch runs it when nobody changes that."""
    return _TURNS.share()


def changing_how_networks_run() -> AbstractContextManager[None]:
    """A block during which no network runs in another thread that is `running_a_network`."""
    return _TURNS.alone()
