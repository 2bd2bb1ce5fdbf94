"""Images in tar archives, read where they lie: nothing is unpacked to disk, and no name of a member is a path here.

Of a plain archive it is known where each member begins, so any process reads any image at once. One that is compressed
can only be read from its front: each process goes through it once, past the images that others read.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from ft.data.image_files import BEGINNING, format_in, named_as_image, readable_formats
from ft.data.known_files import state_of
from ft.data.pictures import Picture
from ft.errors import FtError
from ft.text.reading import MOST_IMAGE, open_plain

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""By which an archive is known."""
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
_READERS = 2
"""Who goes through a compressed archive in one process: what asks the model, and what copies images behind it."""
_PASSED, _MOST_PASSED = 16, 4_000_000
"""Images, and bytes of one, that are kept when they are passed: threads do not come in their order."""


def is_archive(path: str | Path) -> bool:
    """Whether a file is a tar archive, as its name says."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def pictures_in(path: Path) -> list[Picture]:
    """The images in an archive, in its order, `ARCHIVE:MEMBER` each; as of a folder, without hidden ones.

    A link is the image that it points to in the archive. Raises FtError for an archive that cannot be read to its end.
    """
    state = state_of(str(path))
    try:
        with open_plain(path) as file, _opened(file) as (archive, packed):
            found = list(_images(archive))
    except (FtError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged archive makes of what reads it
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FtError(f"cannot read the archive {path}: {why}") from error
    reads: Callable[[_Member], bytes] = _FromFront(path, state).read if packed else partial(_read_there, path, state)
    return [
        Picture(f"{path}:{name}", None, partial(_refuse, each) if isinstance(each, str) else partial(reads, each), path)
        for name, each in found
    ]


@dataclass(frozen=True)
class _Member:
    """A plain file in an archive: its number among all members, and where its bytes are."""

    number: int
    begins: int
    size: int


def _images(archive: tarfile.TarFile) -> Iterator[tuple[str, _Member | str]]:
    """The names of images, and where they are, or why they are nowhere."""
    files: dict[str, _Member] = {}
    found: list[tuple[str, _Member | str]] = []
    links: list[tuple[int, str]] = []
    for number, member in _members(archive):
        name = member.name
        place = _Member(number, member.offset_data, member.size)
        if member.isdir() or any(part.startswith(".") and part not in (".", "..") for part in name.split("/")):
            continue
        if member.isreg() and member.sparse is None:
            files[posixpath.normpath(name)] = place
        if not _is_image(archive, member):
            continue
        if member.issym() or member.islnk():
            folder = posixpath.dirname(name) if member.issym() else ""
            links.append((len(found), posixpath.normpath(posixpath.join(folder, member.linkname))))
            found.append((name, ""))
        elif member.isreg():
            found.append((name, place if member.sparse is None else "it is stored with holes; pack the archive anew"))
        else:
            found.append((name, "it is no plain file"))
    for at, target in links:  # which may stand behind the link
        found[at] = (found[at][0], files.get(target, f"it is a link to {target}, which is no file of the archive"))
    yield from found


def _is_image(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
    named = named_as_image(posixpath.basename(member.name))
    if named is not None:
        return named
    file = archive.extractfile(member) if member.isreg() else None
    return file is not None and format_in(file.read(BEGINNING)) in readable_formats()


def _members(archive: tarfile.TarFile) -> Iterator[tuple[int, tarfile.TarInfo]]:
    number = 0
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # which keeps a kilobyte of each otherwise
        yield number, member
        number += 1


class _Header(tarfile.TarInfo):
    """What stands before each member, and a block of zeros behind the last: tarfile takes whatever else stands there,
    and nothing at all, for the end, too, so that an archive that was cut or damaged would seem a shorter whole one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if not buf:
            raise tarfile.ReadError("it was cut: the blocks of zeros are missing that end an archive")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            if any(buf):
                raise tarfile.ReadError("what stands between two members is damaged") from None
            raise


@contextmanager
def _opened(file: BinaryIO) -> Iterator[tuple[tarfile.TarFile, bool]]:
    """An archive, and whether it is compressed, as its first bytes say, whatever it is called."""
    packed = file.read(6).startswith(_PACKED)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:*" if packed else "r:", tarinfo=_Header) as archive:
        yield archive, packed


def _read_there(path: Path, state: str, member: _Member) -> bytes:
    """What a plain archive holds where a member is."""
    _check_size(path, member.size)
    with open_plain(path) as file:
        _check_same(path, state)
        file.seek(member.begins)
        return file.read(member.size)


def _refuse(why: str) -> bytes:
    raise ValueError(why)


def _check_same(path: Path, state: str) -> None:
    if state_of(str(path)) != state:
        raise ValueError(f"{path} has changed since its images were listed")


def _check_size(path: Path, size: int) -> None:
    if size > MOST_IMAGE:
        raise ValueError(f"it is larger than {MOST_IMAGE / 1e6:g} MB, the most that is read of an image")


class _FromFront:
    """Reads members of a compressed archive, each process for itself, forward as far as they are asked for so."""

    def __init__(self, path: Path, state: str) -> None:
        self._path, self._state = path, state
        self._begin_anew()

    def __getstate__(self) -> tuple[Path, str]:
        return self._path, self._state

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self._path, self._state = state
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._readers: list[_Reader] = []
        self._passed: OrderedDict[int, bytes] = OrderedDict()

    def read(self, member: _Member) -> bytes:
        """The content of a member."""
        _check_size(self._path, member.size)
        if self._process != os.getpid():  # a file that is open in two processes is at one place in both
            self._begin_anew()
        with self._lock:
            _check_same(self._path, self._state)
            if (content := self._passed.pop(member.number, None)) is not None:
                return content
            before = [each for each in self._readers if each.at <= member.number]
            reader = max(before, key=lambda each: each.at) if before else self._another()
            for number, content in reader.until(member.number):
                if number == member.number:
                    return content
                self._passed[number] = content
                if len(self._passed) > _PASSED:
                    self._passed.popitem(last=False)
        raise ValueError(f"{self._path} ends before it")

    def _another(self) -> _Reader:
        if len(self._readers) == _READERS:
            self._readers.pop(0).close()
        self._readers.append(_Reader(self._path))
        return self._readers[-1]


class _Reader:
    """Goes through a compressed archive; `at` is the number of the member that comes next."""

    def __init__(self, path: Path) -> None:
        self.at = 0
        self._open = ExitStack()
        archive, _ = self._open.enter_context(_opened(self._open.enter_context(open_plain(path))))
        self._archive, self._members = archive, _members(archive)

    def until(self, last: int) -> Iterator[tuple[int, bytes]]:
        """The contents of images from here on to the member of the number `last`."""
        while self.at <= last:
            number, member = next(self._members, (last + 1, None))
            self.at = number + 1
            wanted = number == last or (
                member is not None and member.size <= _MOST_PASSED and named_as_image(posixpath.basename(member.name))
            )
            file = self._archive.extractfile(member) if member is not None and member.isreg() and wanted else None
            if file is not None:
                yield number, file.read()

    def close(self) -> None:
        self._open.close()

    def __del__(self) -> None:
        self.close()
