"""What people see while ft works: lines about what is done, warnings, and how far long work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from ft.machine.progress import WIDE, Bar, Draw, bars, counted, hidden
from ft.machine.signals import stopped_while
from ft.text.terminal import told, visible

if TYPE_CHECKING:
    from ft.machine.transfer import Transfer


class Display:
    """Results go to stdout; progress, notes and warnings to stderr, so that stdout can be piped."""

    def __init__(self, out: Console | None = None, err: Console | None = None, draw: Draw = bars) -> None:
        self.out = out or Console()
        self.err = err or Console(stderr=True)
        self._draw = draw
        self._bars: Progress | None = None

    def say(self, text: str) -> None:
        """A line about what is being done."""
        self.err.print(Text(told(text)), style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line about something that the user may not have meant."""
        self.err.print(Text(f"warning: {told(text)}"), style="yellow", soft_wrap=True)

    def tell(self, text: str) -> None:
        """A line of the result."""
        self.out.print(Text(told(text)), soft_wrap=True)

    @contextmanager
    def progress(
        self, title: str, total: int | None = None, done: int = 0, unit: str = "", so_far: Sequence[float] = ()
    ) -> Iterator[Bar]:
        """Show how much of `total` units of work is done, of which some are `done` before; how much is left, or where
        the total is not known, how long it has taken. It may be part of other work that is shown. `unit` is what is
        counted, as in "images". A bar also shows the curve of what came of it `so_far`."""
        with stopped_while(title), self._drawn() as progress:
            task = progress.add_task(
                visible(title), total=total, completed=done, text="", amount=partial(counted, unit), so_far=so_far
            )
            try:
                yield Bar(progress, task)
            finally:
                progress.remove_task(task)

    def tell_ready(self, text: str, end: str = "\n") -> None:
        """Lines of a result, each made printable already. Bars that a terminal shows beside it make room for them."""
        drawn = self._bars if self.out.is_terminal and self._bars and not self._bars.disable else None
        if drawn is not None:
            drawn.stop()
        self.out.print(Text(text), end=end, soft_wrap=True)
        if drawn is not None:
            drawn.start()

    @contextmanager
    def download(self) -> Iterator[Callable[[Transfer], None]]:
        """Show how much of the files that are fetched meanwhile is here; before and after it they are checked."""
        tasks: dict[str, TaskID] = {}
        with stopped_while("fetching weights"), self._drawn() as progress:
            checking = progress.add_task("checking weights", total=None, text="", amount=_megabytes)

            def show(transfer: Transfer) -> None:
                name = transfer.file_name
                if name not in tasks:
                    tasks[name] = progress.add_task(visible(name), total=transfer.total, text="", amount=_megabytes)
                    self.say(f"fetching {name}")
                progress.update(tasks[name], completed=transfer.done, total=transfer.total)
                progress.update(checking, visible=transfer.done == transfer.total)

            try:
                yield show
            finally:
                for task in (checking, *tasks.values()):
                    progress.remove_task(task)

    @contextmanager
    def _drawn(self) -> Iterator[Progress]:
        """The bars that are drawn, or new ones: a terminal has one place for them."""
        if self._bars is not None:
            yield self._bars
            return
        with self._draw(self.err, self.say) as self._bars:
            try:
                yield self._bars
            finally:
                self._bars = None


class LoggedDisplay(Display):
    """Writes its lines into a file; how far long work is, another display shows."""

    def __init__(self, file: TextIO, shown: Display) -> None:
        console = Console(file=file, width=WIDE)
        super().__init__(console, console)
        self.progress = shown.progress  # type: ignore[method-assign]
        self.download = shown.download  # type: ignore[method-assign]


def silent() -> Display:
    """A display that shows nothing: another process of the run speaks."""
    return Display(Console(quiet=True), Console(quiet=True), hidden)


def _megabytes(done: float, total: float | None) -> str:
    if total is None:
        return f"{done / 1e6:.1f} MB" if done else ""
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
