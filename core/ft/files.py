"""Writing files so that a reader sees the old content or the new one, whole, whenever the machine stops.

Everything ft writes goes through `publish`. It needs no lock: each writer has a temporary file of its own in the target
folder, and of several writers the last to finish wins, with a whole file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from ft.errors import FtError


@contextlib.contextmanager
def publish(path: Path, *, size: int | None = None, check: Callable[[Path], None] | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file whose content becomes that of `path` when the block ends without an exception.

    Parent folders are made. `size` is how many bytes will be written, where that is known: a disk without room for them
    is refused at once. `check` is given the written file under its temporary name and raises if it must not be
    published. Raises FtError when the disk is full or the folder cannot be written to; on any exception `path` keeps
    its old content and nothing else stays behind.
    """
    folder, file = path.parent, None
    temporary = folder / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with _explained(path):
            folder.mkdir(parents=True, exist_ok=True)
            if size is not None and shutil.disk_usage(folder).free < size:
                raise FtError(_no_room(path, size))
            file = temporary.open("x+b")
        try:
            yield cast(BinaryIO, file)
        except Exception as error:
            if _is_disk_full(error):
                raise FtError(_no_room(path, size)) from error
            raise
        with _explained(path, size):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        if check is not None:
            check(temporary)
        with _explained(path):
            os.replace(temporary, path)
    except BaseException:
        if file is not None:
            with contextlib.suppress(OSError):  # closing flushes what is now thrown away, onto a disk that may be full
                file.close()
            temporary.unlink(missing_ok=True)
        raise
    with _explained(path):
        _sync_folder(folder)


def publish_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with publish(path, size=len(content)) as file:
        file.write(content)


def publish_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    publish_bytes(path, content.encode())


def publish_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` as indented JSON, whole or not at all."""
    publish_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits. Raises FtError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of what ft can make again: $FT_CACHE, or `ft` in $XDG_CACHE_HOME, by default ~/.cache."""
    own = environ.get("FT_CACHE") or os.path.join(environ.get("XDG_CACHE_HOME") or "~/.cache", "ft")
    return Path(own).expanduser()


def megabytes(size: int) -> str:
    """Return a number of bytes as people read it: "44.7 MB" (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB"


@contextlib.contextmanager
def _explained(path: Path, size: int | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if _is_disk_full(error):
            raise FtError(_no_room(path, size)) from error
        raise FtError(f"cannot write {path}: {error.strerror or error}") from error


def _is_disk_full(error: BaseException | None) -> bool:
    # torch.save turns the OSError of its file into a RuntimeError ("unexpected pos"); what it was is in the context.
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_room(path: Path, size: int | None) -> str:
    free = megabytes(shutil.disk_usage(path.parent).free)
    need = f"needs {megabytes(size)} and {free} are free" if size is not None else f"{free} are free"
    return f"the disk is full: {path} {need}; make room, or write elsewhere"


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system can be asked to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not sync folders
            raise
    finally:
        os.close(descriptor)
