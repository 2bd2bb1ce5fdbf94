"""The cache of weight files: torch.hub's own folder, in which ft leaves and accepts only verified files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, ClassVar

from ft.errors import FtError
from ft.extension.records import WeightEntry
from ft.machine.files import cache_folder, from_home, publish, publish_json, sha256_of, sweep
from ft.machine.transfer import Progress
from ft.text.documents import read_json
from ft.text.redaction import shown
from ft.weights.bundle import copy_out, read_manifest
from ft.weights.download import MOST, PAUSES, Wanted, download, ignore
from ft.weights.format import format_of
from ft.weights.hashes import expected_digest
from ft.weights.http import NotThere, http_timeout
from ft.weights.lock import one_at_a_time

_LONGEST_NAME = 180
"""Bytes; the names of temporary files and records are longer, and 255 is the most that disks take."""
_OFFLINE = ("FT_OFFLINE", "HF_HUB_OFFLINE")


def hub_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder where torch.hub keeps weight files, by its rule and without importing torch."""
    home = environ.get("TORCH_HOME", os.path.join(environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return from_home(home, "set TORCH_HOME to a folder") / "hub" / "checkpoints"


def offline_by(environ: Mapping[str, str] = os.environ) -> str:
    """Return the setting that forbids the network, as in "FT_OFFLINE=1", or ""."""
    on = (f"{n}={environ[n]}" for n in _OFFLINE if environ.get(n, "").lower() in ("1", "true", "yes", "on"))
    return next(on, "")


def check_file_name(name: str) -> str:
    """Return `name` when it is the plain name of a file. Raises FtError when it could lead out of a folder."""
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name and name.isprintable()
    if not name or not plain or name.startswith(".") or len(name.encode(errors="replace")) > _LONGEST_NAME:
        raise FtError(f"{name!r} cannot be the name of a weight file: it must be a plain name without folders")
    return name


@dataclass
class Cache:
    """Implements `ft.WeightCache`.

    `folder` holds the weight files, `records` a small JSON file for each with its whole digest when it was first seen
    here: publishers name eight digits or none, and a bit that flips on the disk shows nowhere else. `offline` says what
    forbids the network. `notes` grows with what a report should say about the files that were handed out.
    """

    FOUND: ClassVar[str] = "found in the folder"
    """Where a file came from that ft did not fetch."""

    folder: Path
    records: Path
    offline: str = ""
    progress: Progress = ignore
    pauses: tuple[float, ...] = PAUSES
    notes: list[str] = field(default_factory=list)
    _digests: dict[tuple[int, ...], str] = field(default_factory=dict)

    def path(self, entry: WeightEntry) -> Path:
        """Return where the file of `entry` lies once it is there. Raises FtError for a name that leaves the folder."""
        return self.folder / check_file_name(entry.file_name)

    def find(self, entry: WeightEntry) -> Path | None:
        """Return the verified file of `entry`, or None. Raises FtError when the file that is there is not the one."""
        path = self.path(entry)
        if not path.exists():
            return None
        fault = self._fault(entry, path) or self._change(path)
        if fault:
            raise FtError(fault)
        record = self.record_of(path)
        if not record.exists():
            self._keep(entry, path, self.FOUND)
            return path
        with contextlib.suppress(OSError):  # says when it was used last, which matters to `ft weights prune` alone
            os.utime(record)
        self._note_unverifiable(entry)
        return path

    def download(self, entry: WeightEntry, *urls: str) -> Path:
        """Return the file of `entry`, from the folder or else from the first of `urls` that the server has.

        What lies in the folder under the entry's name and is not the entry's file is set aside as *.bad-<digest>,
        once there is a right one. Processes that want the same file wait for the first of them. Raises FtError when no
        verified file can be had.
        """
        with self._obtain(entry, urls[0]) as found:
            return found or self._from_first(entry, urls)

    def store(
        self, entry: WeightEntry, origin: str, write: Callable[[BinaryIO], object], *, remote: bool = True
    ) -> Path:
        """Return the file of `entry`, from the folder or else as `write` writes it, which may need the network.

        It appears in the folder whole and verified or not at all. `origin` says where it comes from. Raises FtError.
        """
        with self._obtain(entry, origin, remote) as found:
            if found is None:
                path = self.path(entry)
                with publish(path, size=entry.size, check=self._check(entry, path, origin)) as file:
                    write(file)
                self._keep(entry, path, origin)
            return found or path

    def unpack(self, entry: WeightEntry, bundle: Path) -> Path:
        """Return the file of `entry`, from the folder or else out of a bundle. Raises FtError when neither has it."""
        held = read_manifest(bundle)
        item = held.get(entry.file_name)
        if item is None:
            raise FtError(f"the bundle {bundle} has no {entry.file_name}; it holds: {', '.join(held) or 'nothing'}")
        if not item.sha256.startswith(expected_digest(entry)):
            raise FtError(f"the bundle {bundle} holds another {entry.file_name}: its sha256 is {item.sha256}")
        exact = replace(entry, sha256=item.sha256, size=item.size)
        return self.store(exact, str(bundle.absolute()), partial(copy_out, bundle, item), remote=False)

    def verify(self, entry: WeightEntry, path: Path) -> Path:
        """Return `path` when its content is that of `entry`. Raises FtError."""
        if fault := self._fault(entry, path):
            raise FtError(fault)
        self._note_unverifiable(entry)
        return path

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file; it is read once as long as its size and time stay. Raises FtError."""
        try:
            stat = path.stat()
        except OSError as error:
            raise FtError(f"cannot read {path}: {error.strerror}") from error
        state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)  # a published file keeps all four
        if state not in self._digests:
            self._digests[state] = sha256_of(path)
        return self._digests[state]

    def record_of(self, path: Path) -> Path:
        """Return where the record of a weight file lies, if it has one."""
        # Files of one name may lie in several folders, as $TORCH_HOME changes.
        folder = hashlib.sha256(str(path.parent.absolute()).encode()).hexdigest()[:8]
        return self.records / f"{path.name}.{folder}.json"

    @contextlib.contextmanager
    def _obtain(self, entry: WeightEntry, origin: str, remote: bool = True) -> Iterator[Path | None]:
        """Yield the file that is there, or None when it is this process's turn to get it."""
        try:
            found = self.find(entry)
        except FtError as error:
            self.notes.append(str(error))
            found = None
        if found:
            yield found
            return
        if self.offline and remote:
            raise FtError(f"{self.offline}, so nothing is fetched from {shown(origin)}")
        path = self.path(entry)
        lock = self.records.parent / "locks" / self.record_of(path).with_suffix(".lock").name
        with one_at_a_time(lock, path, http_timeout()) as waited:
            if waited:
                with contextlib.suppress(FtError):
                    found = self.find(entry)
            yield found

    def _from_first(self, entry: WeightEntry, urls: tuple[str, ...]) -> Path:
        path = self.path(entry)
        missing: list[str] = []
        for url in urls:
            try:
                most = 2 * entry.approximate_size + 10**6 if entry.approximate_size else MOST
                wanted = Wanted(url, entry.size, most, has_digest=bool(expected_digest(entry)))
                download(wanted, path, self._check(entry, path, url), self.progress, self.pauses, self.notes.append)
            except NotThere as error:
                missing.append(str(error))
            else:
                self._keep(entry, path, url)
                return path
        raise FtError("; ".join(missing))

    def _check(self, entry: WeightEntry, path: Path, origin: str) -> Callable[[Path], None]:
        def check(arrived: Path) -> None:
            if fault := self._fault(entry, arrived, f"what came from {shown(origin)}"):
                raise FtError(fault)
            self._set_aside(entry, path)

        return check

    def _keep(self, entry: WeightEntry, path: Path, origin: str) -> None:
        sweep(path)  # before the record: where there is none, a process was killed here, and the next one does it
        self._record(entry, path, shown(origin))
        sweep(self.record_of(path))
        self._note_unverifiable(entry)

    def _fault(self, entry: WeightEntry, path: Path, called: str = "") -> str:
        """Say why `path` is not the file of `entry`; "" when it is, as far as its publisher lets one know."""
        digest, called = self.digest(path), called or str(path)
        size, expected = path.stat().st_size, expected_digest(entry)
        if expected and digest.startswith(expected) and entry.size in (None, size):
            return ""
        try:
            format_of(path, called)
        except FtError as error:
            return str(error)
        if entry.size not in (None, size):
            wrong = f"it has {size} bytes, should have {entry.size}"
        elif not digest.startswith(expected):
            wrong = f"sha256 is {digest[: max(len(expected), 8)]}, should be {expected}"
        else:
            return ""
        return f"{called} is damaged or not {entry.name}: {wrong}"

    def _change(self, path: Path) -> str:
        """Say how a file differs from what was recorded when it was first seen; "" when it does not."""
        record = self.record_of(path)
        if not record.exists():
            return ""
        try:
            known = str(read_json(record)["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"the record {record} cannot be read ({type(error).__name__}); delete it"
        digest = self.digest(path)
        if digest == known:
            return ""
        return (
            f"{path} has changed since ft first saw it: sha256 is {digest[:16]}, was {known[:16]}; "
            f"if you replaced it on purpose, delete {record}"
        )

    def _record(self, entry: WeightEntry, path: Path, origin: str) -> None:
        content = {"file": str(path.absolute()), "entry": entry.name, "from": origin, "sha256": self.digest(path)}
        try:
            publish_json(self.record_of(path), content)
        except FtError as error:  # the file itself is good, and a read-only home is common on clusters
            self.notes.append(f"the digest of {path.name} could not be recorded, so later damage may not show: {error}")

    def _set_aside(self, entry: WeightEntry, path: Path) -> None:
        if not path.exists():
            return
        with contextlib.suppress(FtError, FileNotFoundError):  # another process may have set it aside meanwhile
            if self._fault(entry, path) or self._change(path):
                aside = path.with_name(f"{path.name}.bad-{self.digest(path)[:8]}")
                os.replace(path, aside)
                self.notes.append(f"{path.name} was fetched again; the damaged one is {aside}")

    def _note_unverifiable(self, entry: WeightEntry) -> None:
        if not expected_digest(entry):
            self.notes.append(f"no digest is published for {entry.file_name}: its content cannot be verified")


def open_cache(progress: Progress = ignore, environ: Mapping[str, str] = os.environ) -> Cache:
    """Return the cache that the environment names: $TORCH_HOME, $FT_CACHE, $XDG_CACHE_HOME, $FT_OFFLINE."""
    return Cache(hub_folder(environ), cache_folder(environ) / "weights", offline_by(environ), progress)
