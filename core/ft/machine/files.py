"""Writing files so that a reader sees the old content or the new one, whole, whenever the machine stops.

Everything ft writes goes through `publish`. It needs no lock: each writer has a temporary file of its own in the target
folder, and of several writers the last to finish wins, with a whole file. A temporary file's name says which process
writes it, so that what a killed one left behind can be told from what is being written.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from ft.errors import FtError
from ft.text.reading import open_plain

_PROCESS = secrets.token_hex(3)
"""Tells this process from an earlier one with its number, which in containers is often the same."""
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_WRITER = re.compile(r"\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-(?P<process>[0-9a-f]{6})-[0-9a-f]{6}(?:\.[a-z]+)+")
_DAY = 24 * 3600.0


class CannotWrite(FtError):
    """A file cannot be written where it should be."""


class DiskFull(CannotWrite):
    """The disk, or the part of it that its user may fill, has no room."""


@contextlib.contextmanager
def publish(path: Path, *, size: int | None = None, check: Callable[[Path], None] | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file whose content becomes that of `path` when the block ends without an exception.

    Parent folders are made. `size` is how many bytes will be written, where that is known: a disk without room for them
    is refused at once. `check` is given the written file under its temporary name and raises if it must not be
    published. Raises CannotWrite when the disk is full or the folder cannot be written to; on any exception `path`
    keeps its old content and nothing else stays behind.
    """
    file, temporary = None, temporary_beside(path)
    try:
        with explained(path):
            make_room(path, size)
            file = temporary.open("x+b")
        try:
            yield cast(BinaryIO, file)
        except Exception as error:
            if _is_disk_full(error):
                raise DiskFull(_no_room(path, size)) from error
            if _is_errno(error, errno.EFBIG):
                raise CannotWrite(_too_large(path)) from error
            raise
        with explained(path, size):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        put_in_place(temporary, path, check)
    except BaseException:
        if file is not None:
            with contextlib.suppress(OSError):  # closing flushes what is now thrown away, onto a disk that may be full
                file.close()
            with contextlib.suppress(OSError):  # or may be only read by now
                temporary.unlink()
        raise


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Yield a new folder that gets the name `place` when the block ends without an exception; on any, nothing of it
    stays. What killed writers of it left behind is swept.

    Raises FtError where something is there already that is no empty folder, and for the folder in which one is.
    """
    place = Path(os.path.abspath(place))
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FtError(f"{place} is there already; choose another --out, or remove it")
    if place == Path.cwd():
        raise FtError("--out is the folder in which you are, which cannot be put in place whole; name a new one")
    for each in left_behind(place.parent, place.name):
        shutil.rmtree(each, ignore_errors=True)
    made = temporary_beside(place)
    try:
        with explained(place):
            made.mkdir(parents=True)
        yield made
        with explained(place):
            if place.exists():
                place.rmdir()
            os.replace(made, place)
            _sync_folder(place.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def put_in_place(written: Path, path: Path, check: Callable[[Path], None] | None = None) -> None:
    """Give a whole, synced file its final name once `check` accepts it. Raises FtError, or what `check` raises."""
    if check is not None:
        check(written)
    with explained(path):
        os.replace(written, path)
        _sync_folder(path.parent)


def make_room(path: Path, size: int | None) -> None:
    """Make the folder of `path`. Raises FtError when its disk has no room for `size` bytes, and OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if size is not None and shutil.disk_usage(path.parent).free < size:
        raise DiskFull(_no_room(path, size))


def temporary_beside(path: Path, ending: str = ".tmp", pid: int | None = None) -> Path:
    """Return a new name beside `path` that says which process writes it; process 0 is nobody."""
    writer = f"{_HOST}-{os.getpid() if pid is None else pid}-{_PROCESS}-{secrets.token_hex(3)}"
    return path.with_name(f".{path.name}.{writer}{ending}")


def left_behind(folder: Path, name: str = "") -> list[Path]:
    """Return the temporary files in `folder`, or those for the file `name`, that no living process writes any more."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    found = [(n, writer) for n in names if n.startswith(f".{name}") and (writer := _WRITER.search(n))]
    return [
        folder / n
        for n, writer in found
        if (not name or n[1 : writer.start()] == name) and _is_gone(folder / n, writer)
    ]


def sweep(path: Path) -> None:
    """Delete what killed writers of `path` left beside it. Nothing is lost when that fails."""
    for each in left_behind(path.parent, path.name):
        with contextlib.suppress(OSError):
            each.unlink()


def publish_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with publish(path, size=len(content)) as file:
        file.write(content)


def publish_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all.

    Bytes of names that are no UTF-8 are spelt out, as JSON and YAML spell them.
    """
    publish_bytes(path, content.encode(errors="backslashreplace"))


def publish_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` as indented JSON, whole or not at all."""
    publish_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits. Raises FtError when it cannot be read."""
    try:
        with open_plain(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FtError(f"cannot read {path}: {error.strerror or error}") from error


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of what ft can make again: $FT_CACHE, or `ft` in $XDG_CACHE_HOME, by default ~/.cache."""
    own = environ.get("FT_CACHE") or os.path.join(environ.get("XDG_CACHE_HOME") or "~/.cache", "ft")
    return from_home(own, "set FT_CACHE to a folder")


def from_home(path: str, what_next: str) -> Path:
    """Return the path of a text that may begin with ~. Raises FtError, which says `what_next`, where nobody is at home,
    as in a container that runs under a number."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FtError(f"there is no home directory, which {path} begins with; {what_next}") from None


def megabytes(size: int) -> str:
    """Return a number of bytes as people read it: "44.7 MB" (10^6 bytes), "59.1 GB" from ten of those."""
    return f"{size / 1e9:.1f} GB" if size >= 1e10 else f"{size / 1e6:.1f} MB"


@contextlib.contextmanager
def explained(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an OSError inside into a CannotWrite that names `path`, and the `size` it needs when the disk is full."""
    try:
        yield
    except OSError as error:
        if _is_disk_full(error):
            raise DiskFull(_no_room(path, size)) from error
        if error.errno == errno.EFBIG:
            raise CannotWrite(_too_large(path)) from error
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def _is_disk_full(error: BaseException) -> bool:
    return _is_errno(error, errno.ENOSPC, errno.EDQUOT)


def _is_errno(error: BaseException | None, *numbers: int) -> bool:
    # torch.save turns the OSError of its file into a RuntimeError ("unexpected pos"); what it was is in the context.
    while error is not None:
        if isinstance(error, OSError) and error.errno in numbers:
            return True
        error = error.__cause__ or error.__context__
    return False


def _too_large(path: Path) -> str:
    return f"cannot write {path}: it becomes larger than files may be here; see ulimit -f, or write to another disk"


def _no_room(path: Path, size: int | None) -> str:
    try:
        free = megabytes(shutil.disk_usage(path.parent).free)
    except OSError:
        free = "none"
    need = f"needs {megabytes(size)} and {free} are free" if size is not None else f"{free} are free"
    return f"the disk is full: {path} {need}; make room, or write elsewhere"


def _is_gone(path: Path, writer: re.Match[str]) -> bool:
    if writer["host"] == _HOST and not _is_alive(int(writer["pid"]), writer["process"]):
        return True
    try:
        return time.time() - path.stat().st_mtime > _DAY  # of a process on another machine nothing else is known
    except OSError:
        return False


def _is_alive(pid: int, process: str) -> bool:
    if pid == os.getpid():
        return process == _PROCESS
    return pid != 0 and is_process(pid)


def is_process(pid: int) -> bool:
    """Whether a process of this machine has that number; where that cannot be asked, it may."""
    if os.name == "nt":  # there, os.kill would end the process that it asks about
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


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
