"""Signals ask a run to stop; it does so at the next moment when its state can be saved.

SIGINT is Ctrl-C, SIGTERM comes from batch systems, SIGHUP where a terminal goes away, as with a lost connection, and
SIGXCPU where the processor time of `ulimit -t` is used up. Where there is no run, they end a command at once, which
says what it was doing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name))
"""What asks to stop. Windows has the first two."""
_BY_THEMSELVES = STOPPING[2:]
"""These come more than once for one reason. Where they are ignored already, as nohup has it, they stay ignored."""


class StopAsked(BaseException):
    """A signal asked the run in `folder` to stop, and it did, its state saved; without a folder, it ended a command.

    Not an Exception, as KeyboardInterrupt is not one: it may come while an image is decoded, and is no fault of it.
    """

    def __init__(self, signal_number: int, folder: Path | None) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number, self.folder = signal_number, folder


class StopRequest:
    """Whether a signal has asked to stop. Whoever can stop cleanly calls `check`, or waits inside `interruptible`."""

    def __init__(self, folder: Path | None = None, in_python: bool = False, often: bool = False) -> None:
        self.folder, self._in_python, self._often = folder, in_python, often
        self.signal_number: int | None = None
        self._interrupts = self._deferred = False

    def check(self) -> None:
        """Raise StopAsked if a signal came, unless that is deferred."""
        if self.signal_number is not None and not self._deferred:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise StopAsked, also where the signal came to another process of the run."""
        raise StopAsked(self.signal_number or signal.SIGTERM, self.folder)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that no signal ends: several processes agree on where they stop."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block that a signal ends at once with StopAsked: it may wait for long, and leaves nothing half done."""
        self._interrupts = True
        try:
            self.check()
            yield
        finally:
            self._interrupts = False

    def receive(self, signal_number: int, frame: FrameType | None = None) -> None:
        """The signal handler. A second signal that somebody sends ends the process at once, but Ctrl-C `in_python`
        raises KeyboardInterrupt, and where it comes `often`, as from torchrun besides the terminal, nothing happens."""
        if self.signal_number is not None:
            if signal_number in _BY_THEMSELVES or self._often:
                return
            if signal_number == signal.SIGINT and self._in_python:
                signal.default_int_handler(signal_number, frame)
            os._exit(128 + signal_number)
        self.signal_number = signal_number
        if self._interrupts:
            self.check()


@contextmanager
def stopped_while(doing: str) -> Iterator[None]:
    """A block about which StopAsked says that it was `doing` this, unless something inside has said more."""
    try:
        yield
    except StopAsked as asked:
        if not hasattr(asked, "__notes__"):
            asked.add_note(f"while {doing}")
        raise


@contextmanager
def stop_on_signals(folder: Path, often: bool = False) -> Iterator[StopRequest]:
    """Turn signals into a request to stop the run in `folder`; afterwards handlers are as they were.

    A second one ends a command, unless they come `often`. Where Ctrl-C is KeyboardInterrupt, as in scripts and
    notebooks, the second is, too.
    """
    in_python = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    request = StopRequest(folder, in_python, often)
    with _handled(request.receive):
        yield request


@contextmanager
def end_on_signals() -> Iterator[None]:
    """A block that signals end at once with StopAsked; a second one that somebody sends ends the process."""
    received: list[int] = []

    def receive(signal_number: int, frame: FrameType | None) -> None:
        if received and signal_number in _BY_THEMSELVES:
            return
        asked = StopAsked(signal_number, None)
        if not received and not _importing(frame):
            received.append(signal_number)
            raise asked
        # An import may swallow what is raised in it (torch's C code does when it imports numpy), and has nothing to
        # clean up.
        if not received:
            os.write(2, f"{asked}\n".encode())
        os._exit(128 + signal_number)

    with _handled(receive):
        yield


@contextmanager
def held_back(besides: Iterable[int] = ()) -> Iterator[None]:
    """A block whose end signals wait for: those that ask to stop, and some `besides`. Processes that start in it hold
    them back, too, until they ask for them.

    The mask is that of one thread, and a signal may come to another one, as that which draws bars: Python would then
    handle it in the middle of the block. So handlers wait, too. Where there are no masks, as on Windows, nothing waits.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    came: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPPING, *besides})
    try:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if callable(handler := signal.getsignal(number)):
                    handlers[number] = handler
                    signal.signal(number, lambda received, _: came.append(received))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in came:
            signal.raise_signal(number)


@contextmanager
def _handled(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def received(signal_number: int, frame: FrameType | None) -> None:
        _let_go(terminals)
        receive(signal_number, frame)

    before = {number: signal.getsignal(number) for number in STOPPING}
    outlived = [number for number in _BY_THEMSELVES if before[number] == signal.SIG_IGN]
    handled = [number for number in STOPPING if number not in outlived and before[number] is not None]
    for number in handled:  # what no Python code set, and none could set again, is left alone
        signal.signal(number, received)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _let_go(terminals: Iterable[int]) -> None:
    """Let what is printed go nowhere where the terminal is gone: each line would fail, and a state is to be saved."""
    for descriptor in terminals:
        if not os.isatty(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None
