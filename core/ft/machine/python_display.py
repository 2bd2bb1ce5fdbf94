"""What Python code that calls ft sees meanwhile: Python's warnings, and where it asks for them, lines and bars."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import Progress, Task

from ft.errors import FtWarning
from ft.machine.display import Display
from ft.machine.progress import hidden, line_of, repeated
from ft.text.terminal import told

REDRAWN = 0.25
"""Seconds after which a notebook's bars are drawn anew."""


class PythonDisplay(Display):
    """Shows nothing, or where it is `verbose` what the command line does, in a notebook without a terminal's codes.

    Warnings are Python's in both cases, of the category FtWarning, at the line that called ft.
    """

    def __init__(self, verbose: bool = False) -> None:
        if not verbose:
            super().__init__(Console(quiet=True), Console(quiet=True), hidden)
        elif Console().is_jupyter:
            plain = Console(force_jupyter=False, force_terminal=False, color_system=None)
            super().__init__(plain, plain, NotebookBars())
        else:
            super().__init__()

    def warn(self, text: str) -> None:
        """Raises it where Python was told to make errors of warnings."""
        warnings.warn(told(text), FtWarning, stacklevel=_lines_to_the_caller())


COLUMNS = 80
"""The width of the terminal for which `printed` prints."""


def printed(show: Callable[[Display], None]) -> str:
    """What `show` prints on a terminal, notes and warnings included, without its codes."""
    text = io.StringIO()
    console = Console(file=text, width=COLUMNS, force_terminal=True, force_jupyter=False, color_system=None)
    show(Display(console, console))
    return text.getvalue().strip("\n")


class NotebookBars:
    """Bars in one place of a notebook's cell, made with the first of them; when the work is done they are gone."""

    def __init__(self) -> None:
        self._place: Any = None

    @contextmanager
    def __call__(self, console: Console, say: Callable[[str], None]) -> Iterator[Progress]:
        """Bars as `ft.machine.progress.bars` draws them on a terminal."""
        progress = Progress(console=console, disable=True)
        try:
            with repeated(lambda: self._draw(progress.tasks), REDRAWN):
                yield progress
        finally:
            self._draw([])

    def _draw(self, tasks: list[Task]) -> None:
        from IPython.display import HTML, display  # which is there, where this is a notebook

        shown = HTML("".join(map(html_of, tasks)))
        if self._place is not None:
            self._place.update(shown)
        elif tasks:
            self._place = display(shown, display_id=True)


def html_of(task: Task) -> str:
    """A bar, and its line; nothing for a task that is not to be seen.

    >>> progress = Progress(disable=True)
    >>> _ = progress.add_task("proof", total=None, text="", amount=lambda done, total: "")
    >>> html_of(progress.tasks[0])
    '<div><progress></progress> <code>proof, 0:00 so far</code></div>'
    """
    if not task.visible:
        return ""
    share = f' value="{task.completed:g}" max="{task.total:g}"' if task.total else ""
    return f"<div><progress{share}></progress> <code>{escape(line_of(task))}</code></div>"


def _lines_to_the_caller() -> int:
    """How many frames above `warn` the line lies that called ft, as `warnings.warn` counts."""
    frame, level, inside = sys._getframe(1), 1, False
    while frame.f_back is not None:
        in_ft = str(frame.f_globals.get("__name__")).startswith("ft.")
        if inside and not in_ft:
            break
        inside = in_ft and frame.f_globals["__name__"] in FRONT
        frame, level = frame.f_back, level + 1
    return level


FRONT = ("ft.front", "ft.inference.loaded", "ft.exporting.front", "ft.tuning.front")
"""The modules that Python code calls."""
