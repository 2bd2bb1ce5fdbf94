"""Who listens to a run, and how each of them is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ft.machine.signals import StopAsked
from ft.tracking.events import Event, RunEnded, RunFailed

Listener = Callable[[Event], None]
"""Is called with each event, one after the other and in the thread that trains, which waits for it."""


class EndedByListener(BaseException):
    """A listener raises it to end a run once it is told that an epoch is done: the state after that is saved.

    Not an Exception, as StopAsked is not one: nothing has failed that somebody could make good.
    """


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
            stopped = isinstance(error, StopAsked | KeyboardInterrupt | EndedByListener)
            tell(RunFailed(str(error) or type(error).__name__, stopped))
        raise
