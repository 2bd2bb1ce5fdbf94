"""Who listens to a run, and how each of them is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ft.machine.signals import StopAsked
from ft.tracking.events import Event, RunEnded, RunFailed

Listener = Callable[[Event], None]
"""Is called with each event, one after the other and in the thread that trains, which waits for it."""


@contextmanager
def telling(listeners: Sequence[Listener]) -> Iterator[Listener]:
    """A block that is given whom to tell: all of `listeners`, in their order.

    Where it raises, they are told that as well, unless they were told of no run yet, or of its end.
    """
    last: Event | None = None

    def tell(event: Event) -> None:
        nonlocal last
        last = event
        for listener in listeners:
            listener(event)

    try:
        yield tell
    except BaseException as error:
        if last is not None and not isinstance(last, RunEnded):
            tell(RunFailed(str(error) or type(error).__name__, isinstance(error, StopAsked | KeyboardInterrupt)))
        raise
