"""How the command line ends where something is wrong that is no bug of ft's: with one line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from ft.cli.printing import note, tell_error
from ft.errors import FtError
from ft.machine.signals import StopAsked
from ft.text.names import typed

if TYPE_CHECKING:
    from ft.machine.display import Display

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to something without a name raises, as standard output is."""


def explanation(error: BaseException) -> str:
    """What a person is told of an exception: a mistake of theirs, or what the machine lacks. "" for a bug."""
    if isinstance(error, FtError):
        return str(error)
    if isinstance(error, PermissionError | NotADirectoryError) and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    from ft.machine.memory import shortage

    if said := shortage(error):
        return f"{said}. Free some, or allow more (ulimit -v)"
    if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
        return f"cannot print, or write a file: {error.strerror}"
    return ""


def flush_output() -> None:
    """Print what is not printed yet. Raises OSError where that is impossible, once: the interpreter will not try."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError), open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise


def end_with(message: str, code: int = 2) -> NoReturn:
    """Say what was wrong, and end with an exit code."""
    with suppress(OSError):  # nobody may be there to read it
        tell_error(message)
    with suppress(OSError):
        flush_output()
    sys.exit(code)


@contextmanager
def stopped_with_advice(again: str, display: Display) -> Iterator[None]:
    """A block in which runs train: a signal that stops one ends the command with 128 + its number, and with what to
    type to continue. `again` is what the same command does where nothing has begun."""
    try:
        yield
    except StopAsked as asked:
        if asked.folder is None:
            asked.add_note(f"before training began; nothing was changed, and the same command {again}")
            raise
        go_on = typed("ft", "run", "--resume", asked.folder)
        display.warn(f"{asked}; its state is saved. Continue with: {go_on}")
        sys.exit(128 + asked.signal_number)


def end_stopped(asked: StopAsked) -> NoReturn:
    """Say what a signal stopped, and end with 128 + its number."""
    with suppress(OSError):
        note(" ".join([str(asked), *getattr(asked, "__notes__", ())]))
        sys.stdout.flush()
    os._exit(128 + asked.signal_number)  # a thread may wait for an image on a disk that does not answer
