"""What people see while ft works: lines about what is done, warnings, and how far long work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from ft.machine.progress import Bar, Draw, bars, counted
from ft.machine.signals import stopped_while
from ft.text.terminal import told, visible

if TYPE_CHECKING:
    from ft.machine.transfer import Transfer
    from ft.plan.records import Plan
    from ft.run.checkpoints import EpochRecord
    from ft.run.folder import Run


WORDY = 120
"""The width from which a line of figures names them."""


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
    def progress(self, title: str, total: int | None = None, done: int = 0) -> Iterator[Bar]:
        """Show how much of `total` units of work is done, of which some are `done` before; how much is left, or where
        the total is not known, how long it has taken. It may be part of other work that is shown."""
        with stopped_while(title), self._drawn() as progress:
            task = progress.add_task(visible(title), total=total, completed=done, text="", amount=counted)
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

    def features_ready(self, computed: int, decoded: int, seconds: float) -> None:
        """Where the frozen prefix's features came from."""
        source = f"computed for {computed} images in {seconds:.1f} s" if computed else "found"
        self.say(f"features of the frozen prefix: {source}{'' if decoded else ', no image was decoded'}")

    def images_ready(self, decoded: int, seconds: float) -> None:
        """Where decoded images came from."""
        source = f"{decoded} decoded in {seconds:.1f} s" if decoded else "found, none was decoded"
        self.say(f"images: {source}")

    def epoch(self, record: EpochRecord, epochs: int, is_best: bool) -> None:
        """One line for a finished epoch."""
        self._figures(f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}", record, is_best)

    def penalty(self, record: EpochRecord, count: int, is_best: bool) -> None:
        """One line for a fit of the head with one penalty."""
        self._figures(f"penalty {record.penalty:8.1e} ({record.epoch}/{count})", record, is_best)

    def _figures(self, title: str, record: EpochRecord, is_best: bool) -> None:
        """One line of figures; on a narrow terminal it does without the words."""
        loss, accuracy, f1 = "loss ", " accuracy ", "macro F1 "
        if self.out.is_terminal and self.out.width < WORDY:
            loss, accuracy, f1 = "", "", "F1 "
        self.tell(
            f"{title}  train {loss}{record.train_loss:.4f} {accuracy}{record.train_accuracy:6.1%}   "
            f"val {loss}{record.val.loss:.4f} {accuracy}{record.val.accuracy:6.1%}  "
            f"{f1}{record.val.macro_f1:.3f}   {record.seconds:.1f} s{'  best' if is_best else ''}"
        )

    def run_begins(self, run: Run, plan: Plan, notes: Sequence[str]) -> None:
        """What is about to happen, in a few lines; `ft plan` shows all of it."""
        images = ", ".join(f"{number} {split}" for split, number in plan.images.items() if number)
        total = plan.frozen_numel + plan.trainable_numel
        self.say(f"{plan.backbone}, weights {plan.weights}")
        if plan.data == "demo":
            self.say("images are ft's built-in demo set; give your own with --data PATH")
        self.say(f"{len(plan.classes)} classes, {images} images of {plan.image_size} px")
        self.say(f"{plan.trainable_numel:,} of {total:,} parameters train, on {plan.device} in {plan.precision}")
        for note in (*notes, *plan.notes):
            self.say(note)
        for warning in plan.warnings:
            self.warn(warning)
        self.say(f"run folder {run.path}")


def _megabytes(done: float, total: float | None) -> str:
    if total is None:
        return f"{done / 1e6:.1f} MB" if done else ""
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
