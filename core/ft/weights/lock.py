"""Waiting for another process that gets the same file. This saves work; nothing is wrong when locks do not work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def one_at_a_time(lock: Path, path: Path, patience: float) -> Iterator[bool]:
    """Let in one process at a time, as far as the file system can; yield whether there was another to wait for.

    Whoever waits goes ahead when nothing beside `path` has changed for `patience` seconds: the holder may be stopped,
    or on another machine. Where locks are not supported everybody goes ahead.
    """
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as held:
        waited, seen, since = False, _state(path), time.monotonic()
        while True:
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(lock, timeout=1.0 if waited else 0.0))
                break
            except Timeout:
                waited = True
                if (now := _state(path)) != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > patience:
                    break
            except (OSError, NotImplementedError, RuntimeError):
                break
        yield waited


def _state(path: Path) -> list[tuple[str, int]]:
    """Names and sizes of the files that belong to `path`."""
    try:
        with os.scandir(path.parent) as entries:
            return sorted((e.name, e.stat().st_size) for e in entries if path.name in e.name)
    except OSError:
        return []
