"""Reads files that may come from anybody: only plain files, and never more of one than was agreed.

A pipe would be waited for without end, and a device has none. What is refused is an OSError that says why, so that
whoever reads a file says of these what it says of any file that cannot be read.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MOST_TEXT = 16_000_000
"""Bytes of a file that people or ft write, other than tables of images; it is read into memory whole."""
MOST_TABLE = 1_000_000_000
"""Bytes of a table with a line for each image."""

MOST_IMAGE = 2_000_000_000
"""Bytes of an image file."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_plain(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file for reading. Raises OSError, also for what is no plain file: a pipe, a device, a folder."""
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115
    try:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            what = "a pipe" if stat.S_ISFIFO(mode) else "a device"
            raise OSError(errno.EINVAL, f"it is {what}, not a plain file", str(path))
    except BaseException:
        file.close()
        raise
    return file


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody to write into what may be a pipe. The descriptor is its file's alone, which
    closes it once, also where a signal ends a run in this very moment."""
    return os.open(path, _FLAGS)


def check_plain(path: Path) -> None:
    """Raise OSError unless `path` is a plain file that can be read; for libraries that open files themselves."""
    open_plain(path).close()


def read_bytes(path: str | os.PathLike[str], most: int = MOST_TABLE) -> bytes:
    """Return the content of a plain file; whatever a user names is read so.

    Raises OSError, also for a file of more than `most` bytes, and for what is no plain file: a pipe would be waited for
    without end, and a device has none.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(size + 1)  # room for all that is asked for is made beforehand
        if len(content) > size:  # it grows, or its size is not known before it is read, as in /proc
            content += file.read(most + 1 - len(content))
        if len(content) > most or (not content and file.read(1)):
            raise OSError(errno.EFBIG, f"it is larger than {most / 1e6:g} MB, the most that is read of it", str(path))
        return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Return the UTF-8 text of a plain file. Raises OSError, as `read_bytes` does, and UnicodeDecodeError."""
    return read_bytes(path, most).decode()
