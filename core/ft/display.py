"""What people see while ft works: a progress bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ft.redaction import shown
from ft.signals import stopped_while

if TYPE_CHECKING:
    from ft.checkpoints import EpochRecord
    from ft.download import Transfer
    from ft.plan import Plan
    from ft.runs import Run


WORDY = 120
"""The width from which a line of figures names them."""


class Bar:
    """One task's progress; does nothing where there is no terminal to draw on."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._progress, self._task = progress, task

    def advance(self, done: int, text: str = "") -> None:
        """Say that `done` of the total are done."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, text=text)


class Display:
    """Results go to stdout; progress, notes and warnings to stderr, so that stdout can be piped."""

    def __init__(self, out: Console | None = None, err: Console | None = None) -> None:
        self.out = out or Console()
        self.err = err or Console(stderr=True)

    def say(self, text: str) -> None:
        """A line about what is being done."""
        self.err.print(shown(text), style="dim", highlight=False, soft_wrap=True, markup=False)

    def warn(self, text: str) -> None:
        """A line about something that the user may not have meant."""
        self.err.print(f"warning: {shown(text)}", style="yellow", highlight=False, soft_wrap=True, markup=False)

    @contextmanager
    def progress(self, title: str, total: int, done: int = 0) -> Iterator[Bar]:
        """A bar for `total` units of work, of which some are `done`; it is gone when the work is."""
        if not self.err.is_terminal or total < 2:
            with stopped_while(title):
                yield Bar()
            return
        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with stopped_while(title), Progress(*columns, console=self.err, transient=True) as progress:
            yield Bar(progress, progress.add_task(title, total=total, completed=done, text=""))

    @contextmanager
    def download(self) -> Iterator[Callable[[Transfer], None]]:
        """A bar for the files that are fetched meanwhile; where there is no terminal, a line for each."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        tasks: dict[str, TaskID] = {}
        bars = Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal)
        with stopped_while("fetching weights"), bars:

            def show(transfer: Transfer) -> None:
                if transfer.file_name not in tasks:
                    tasks[transfer.file_name] = bars.add_task(transfer.file_name, total=transfer.total)
                    self.say(f"fetching {transfer.file_name}")
                bars.update(tasks[transfer.file_name], completed=transfer.done)

            yield show

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
        self.out.print(
            f"{title}  train {loss}{record.train_loss:.4f} {accuracy}{record.train_accuracy:6.1%}   "
            f"val {loss}{record.val.loss:.4f} {accuracy}{record.val.accuracy:6.1%}  "
            f"{f1}{record.val.macro_f1:.3f}   {record.seconds:.1f} s{'  best' if is_best else ''}",
            highlight=False,
            soft_wrap=True,
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
