"""How listeners are told."""

from __future__ import annotations

import pytest

from ft.machine.signals import StopAsked
from ft.tracking.events import Event, ImagesReady, RunEnded, RunFailed
from ft.tracking.listener import telling

READY = ImagesReady(1, 0.5)


def told_where(error: BaseException, *events: Event) -> list[Event]:
    """What a listener is told of a block that tells these events and then raises."""
    heard: list[Event] = []

    def tell_and_raise() -> None:
        with telling([heard.append]) as tell:
            for event in events:
                tell(event)
            raise error

    with pytest.raises(type(error)) as raised:
        tell_and_raise()
    assert raised.value is error
    return heard


def test_everybody_is_told_in_turn() -> None:
    heard: list[tuple[str, Event]] = []
    with telling([lambda event: heard.append(("a", event)), lambda event: heard.append(("b", event))]) as tell:
        tell(READY)
    assert heard == [("a", READY), ("b", READY)]


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (ValueError("three\nlines"), RunFailed("three\nlines", stopped=False)),
        (ZeroDivisionError(), RunFailed("ZeroDivisionError", stopped=False)),
        (StopAsked(15, None), RunFailed("stopped by SIGTERM", stopped=True)),
        (KeyboardInterrupt(), RunFailed("KeyboardInterrupt", stopped=True)),
    ],
)
def test_a_run_that_fails_says_why_and_the_error_goes_on(error: BaseException, failed: RunFailed) -> None:
    assert told_where(error, READY) == [READY, failed]


def test_of_a_run_that_never_began_nothing_is_told() -> None:
    assert told_where(ValueError()) == []


def test_a_run_that_ended_did_not_fail() -> None:
    ended = RunEnded(None, ())  # type: ignore[arg-type]
    assert told_where(ValueError(), READY, ended) == [READY, ended]
