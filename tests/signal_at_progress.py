"""A display that sends the process a signal when its progress has come to a chosen point."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ft.machine.display import Bar, Display


class SignalAtProgress(Display):
    """Sends this process a signal when the bar called `title` has come to `done`."""

    def __init__(self, title: str, done: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.title, self.done, self.number = title, done, number

    @contextmanager
    def progress(
        self, title: str, total: int | None = None, done: int = 0, unit: str = "", so_far: Sequence[float] = ()
    ) -> Iterator[Bar]:
        outer = self

        class Watched(Bar):
            def advance(self, done: int, text: str = "", pace: str = "") -> None:
                if title == outer.title and done == outer.done:
                    os.kill(os.getpid(), outer.number)

        yield Watched()
