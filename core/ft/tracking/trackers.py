"""The listeners that plugins provide. None of them can end a run, or change which numbers come out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ft.config.schema import Config, Named
from ft.errors import FtError
from ft.extension.calls import raised_at
from ft.extension.installed import Plugins, implementation, read_settings
from ft.extension.references import parse_reference
from ft.extension.switches import read_switches
from ft.machine.display import Display
from ft.machine.randomness import random_state_kept
from ft.tracking.events import Event
from ft.tracking.listener import Listener


def open_trackers(config: Config, plugins: Plugins, display: Display) -> list[Listener]:
    """A listener for each tracker that the config names.

    Raises FtError for one that is not there or does not take its settings, and where a tracker does, as for a library
    that is not installed. Whatever else one raises, now or when it is told something, is a warning, after which it is
    told nothing more.
    """
    return [_opened(named, plugins, display.warn) for named in config.named() if named.kind.name == "tracker"]


def _opened(named: Named, plugins: Plugins, warn: Callable[[str], None]) -> Listener:
    component = plugins.get("tracker", parse_reference(named.part.use))
    settings = read_settings(component, named.part.settings, named.place)
    track = implementation(component, "track")
    listener: Listener | None = None

    def fail(error: BaseException) -> None:
        nonlocal listener
        listener = None
        what = str(error) if isinstance(error, FtError) else f"{type(error).__name__}: {error}{raised_at(error)}"
        warn(f"tracker '{component.name}' failed, and is told nothing more of this run: {' '.join(what.split())}")

    def listen(event: Event) -> None:
        if listener is not None:
            with _spared(fail):
                listener(event)

    with _spared(fail, but=(FtError,)):
        made = track(settings)
        if not callable(made):
            raise TypeError(f"track returned {made!r}; it has to return a function that takes an event")
        listener = made
    return listen


def check_trackers(config: Config, plugins: Plugins, display: Display) -> None:
    """Raise what opening the config's trackers raises, for a plan: they are told nothing."""
    open_trackers(config, plugins, display)


@contextmanager
def _spared(fail: Callable[[BaseException], None], but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """A block of a tracker's code: what it draws is drawn again by whoever comes next, and for an exception, `but`
    for some, `fail` is called. A request to stop goes through; that a library would end the process does not."""
    try:
        with random_state_kept():
            yield
    except but:
        raise
    except (Exception, SystemExit) as error:
        if read_switches(os.environ).raise_errors:
            raise
        fail(error)
