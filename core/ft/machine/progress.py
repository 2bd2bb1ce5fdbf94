"""The progress of long work: a bar with the time left on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from ft.text.curve import curve

EVERY = 10.0
"""Seconds between the lines."""
WIDE = 120
"""Columns from which there is room for a long bar, and a long curve."""
Amount = Callable[[float, float | None], str]
"""How much of how much is done, in words."""


Draw = Callable[[Console, Callable[[str], None]], AbstractContextManager[Progress]]
"""Shows, beside what a console prints, the tasks of the Progress that it gives a block, as `bars` does."""


class Bar:
    """One piece of work, and how much of it is done; shows nothing where it is no task of a `progress`."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._progress, self._task = progress, task

    def advance(self, done: int, text: str = "", pace: str = "", left: float | None = None) -> None:
        """Say that `done` of the total are done. `pace` is for people who watch, and is said nowhere else. `left` are
        the seconds that are left, where who works knows better than can be told from when what was done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, text=text, pace=pace, left=left)


class Clock(ProgressColumn):
    """The time left where it can be told, else the time that has passed."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if left is None:
            left = task.time_remaining if task.completed < (task.total or 0) else None
        return Text(clock(left, task.elapsed or 0))


class Much(ProgressColumn):
    """How much of how much is done."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["amount"](task.completed, task.total))


class Curve(ProgressColumn):
    """How fast work goes, and the curve of what came of it so far."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._cells, self._ascii = (24 if console.width >= WIDE else 6), console.options.ascii_only

    def render(self, task: Task) -> Text:
        so_far: Sequence[float] = task.fields.get("so_far", ())
        return Text(" ".join(filter(None, (task.fields.get("pace", ""), curve(so_far, self._cells, self._ascii)))))


def counted(unit: str, done: float, total: float | None) -> str:
    """How much of what is counted in this unit; nothing where the total is not known.

    >>> counted("images", 512, 1968), counted("images", 0, None)
    ('512/1968 images', '')
    """
    return f"{done:.0f}/{total:.0f} {unit}".rstrip() if total else ""


def clock(left: float | None, passed: float) -> str:
    """`0:23 left`, or where that cannot be told, `0:10 so far`.

    >>> clock(23.2, 10.0), clock(None, 10.0), clock(3661, 10.0)
    ('0:24 left', '0:10 so far', '1:01:01 left')
    """
    seconds = int(passed) if left is None else -int(-left // 1)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{shown} so far" if left is None else f"{shown} left"


@contextmanager
def bars(console: Console, say: Callable[[str], None]) -> Iterator[Progress]:
    """Bars on a terminal, gone when the block ends; elsewhere `say` gets a line for each task every ten seconds.

    Tasks have the fields `text`, which stands behind the bar, and `amount`, an Amount. They may have `pace`, a text,
    and `so_far`, numbers, which only bars show.
    """
    columns = (
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(8 if console.width < WIDE else 30, style="grey50"),  # rich's own is near black, as terminals are
        Much(),
        Clock(),
        TextColumn("{task.fields[text]}", markup=False),
        Curve(console),
    )
    drawn = console.is_terminal and not console.is_dumb_terminal
    progress = Progress(*columns, console=console, transient=True, disable=not drawn)
    with progress if drawn else _spoken(progress, say):
        yield progress


@contextmanager
def hidden(console: Console, say: Callable[[str], None]) -> Iterator[Progress]:
    """Tasks of which nobody is told."""
    yield Progress(console=console, disable=True)


@contextmanager
def _spoken(progress: Progress, say: Callable[[str], None]) -> Iterator[None]:
    """A thread says the lines, so that work which cannot tell how far it is does not look dead."""

    def talk() -> None:
        for task in progress.tasks:
            if task.visible and not task.finished:
                say(line_of(task))

    with repeated(talk, EVERY):
        yield


@contextmanager
def repeated(do: Callable[[], None], seconds: float) -> Iterator[None]:
    """A block beside which a thread does something again and again."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(seconds):
            do()

    # What it prints belongs to whoever began the block: a notebook knows its cell by the context.
    thread = threading.Thread(target=copy_context().run, args=(go_on,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def line_of(task: Task) -> str:
    """`training features 512/1968 images, 0:23 left`."""
    how_far = " ".join(filter(None, (task.description, Much().render(task).plain)))
    return ", ".join(filter(None, (how_far, Clock().render(task).plain, task.fields["text"])))
