"""What the trackers that hand a run to another program have in common: they are told of a start, epochs and an end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ft import EpochDone, Event, FtError, PenaltyDone, RunEnded, RunFailed, RunStarted, publish_text


class Program(Protocol):
    """Another program, as the tracker of one run uses it. Its library is imported when the run starts."""

    def start(self, event: RunStarted) -> bool:
        """Begin a run there, or go on with it. Return whether the epochs of before are there already."""

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Put an epoch's figures there."""

    def end(self, event: RunEnded | RunFailed) -> None:
        """Put the files of a run there that ended, and close what was opened."""


def following(program: Program) -> Callable[[Event], None]:
    """Return a listener that hands a run to `program`, and of one that goes on the epochs of before that it lacks."""

    def listen(event: Event) -> None:
        match event:
            case RunStarted():
                if not program.start(event):
                    for record in event.history:
                        program.epoch(record.epoch, record.figures())
            case EpochDone() | PenaltyDone():
                program.epoch(event.record.epoch, event.record.figures())
            case RunEnded() | RunFailed():
                program.end(event)

    return listen


def need(library: str, extra: str) -> None:
    """Raise FtError unless `library` is installed. It is not imported."""
    if find_spec(library) is None:
        raise FtError(f"--tracker {extra} needs {library}, which is not installed: pip install 'ftkit[{extra}]'")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config's values by their keys as `--set` takes them; lists and all that lies in them stay whole.

    >>> flat({"training": {"epochs": 2}, "freeze": ["all"]})
    {'training.epochs': 2, 'freeze': ['all']}
    """
    pairs: dict[str, Any] = {}
    for key, value in config.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return pairs


@contextlib.contextmanager
def variables(**values: str) -> Iterator[None]:
    """A block with these environment variables, which is the only way to tell some libraries something."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def name_of(folder: Path) -> str:
    """What a run is called there: as its folder is."""
    return folder.absolute().name


def remembered(folder: Path) -> str | None:
    """The name under which a program knows the run that keeps its things in `folder`, as `remember` wrote it down."""
    path = folder / "run-id.txt"
    return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None


def remember(folder: Path, name: str) -> None:
    """Write down under which name a program knows the run."""
    publish_text(folder / "run-id.txt", f"{name}\n")
