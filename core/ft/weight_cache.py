"""The cache of weight files: torch.hub's own folder, in which ft leaves and accepts only verified files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from ft.download import PAUSES, NotThere, Progress, download, ignore
from ft.errors import FtError
from ft.extensions import WeightEntry
from ft.files import cache_folder, publish_json, sha256_of
from ft.weight_format import format_of

_OFFLINE = ("FT_OFFLINE", "HF_HUB_OFFLINE")


def hub_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder where torch.hub keeps weight files, by its rule and without importing torch."""
    home = environ.get("TORCH_HOME", os.path.join(environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def offline_by(environ: Mapping[str, str] = os.environ) -> str:
    """Return the setting that forbids the network, as in "FT_OFFLINE=1", or ""."""
    on = (f"{n}={environ[n]}" for n in _OFFLINE if environ.get(n, "").lower() in ("1", "true", "yes", "on"))
    return next(on, "")


def check_file_name(name: str) -> str:
    """Return `name` when it is the plain name of a file. Raises FtError when it could lead out of a folder."""
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name and name.isprintable()
    if not name or not plain or name.startswith("."):
        raise FtError(f"{name!r} cannot be the name of a weight file: it must be a plain name without folders")
    return name


@dataclass
class Cache:
    """Implements `ft.WeightCache`.

    `folder` holds the weight files, `records` a small JSON file for each with its whole digest when it was first seen
    here: publishers name eight digits or none, and a bit that flips on the disk shows nowhere else. `offline` says what
    forbids the network. `notes` grows with what a report should say about the files that were handed out.
    """

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
        if not self._record_of(path).exists():
            self._record(entry, path, "found in the folder")
        self._note_unverifiable(entry)
        return path

    def download(self, entry: WeightEntry, *urls: str) -> Path:
        """Return the file of `entry`, from the folder or else from the first of `urls` that the server knows.

        What lies in the folder under the entry's name and is not the entry's file is set aside as *.bad-<digest>,
        once there is a right one. Raises FtError when no verified file can be had.
        """
        try:
            if found := self.find(entry):
                return found
        except FtError as error:
            self.notes.append(str(error))
        if self.offline:
            raise FtError(f"{self.offline}, so nothing is fetched from {urls[0]}")
        missing = []
        for url in urls:
            try:
                return self._fetch(entry, url)
            except NotThere as error:
                missing.append(str(error))
        raise FtError("; ".join(missing))

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

    def _fetch(self, entry: WeightEntry, url: str) -> Path:
        path = self.path(entry)

        def check(arrived: Path) -> None:
            if fault := self._fault(entry, arrived, f"what came from {url}"):
                raise FtError(fault)
            self._set_aside(entry, path)

        download(url, path, check, self.progress, self.pauses)
        self._record(entry, path, url)
        self._note_unverifiable(entry)
        return path

    def _fault(self, entry: WeightEntry, path: Path, called: str = "") -> str:
        """Say why `path` is not the file of `entry`; "" when it is, as far as its publisher lets one know."""
        digest, called = self.digest(path), called or str(path)
        size = path.stat().st_size
        if digest.startswith(entry.sha256.lower()) and entry.size in (None, size) and entry.sha256:
            return ""
        try:
            format_of(path, called)
        except FtError as error:
            return str(error)
        if entry.size not in (None, size):
            wrong = f"it has {size} bytes, should have {entry.size}"
        elif not digest.startswith(entry.sha256.lower()):
            wrong = f"sha256 is {digest[: max(len(entry.sha256), 8)]}, should be {entry.sha256}"
        else:
            return ""
        return f"{called} is damaged or not {entry.name}: {wrong}"

    def _change(self, path: Path) -> str:
        """Say how a file differs from what was recorded when it was first seen; "" when it does not."""
        record = self._record_of(path)
        if not record.exists():
            return ""
        try:
            known = str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"the record {record} cannot be read ({type(error).__name__}); delete it"
        digest = self.digest(path)
        if digest == known:
            return ""
        return (
            f"{path} has changed since ft first saw it: sha256 is {digest[:16]}, was {known[:16]}; "
            f"if you replaced it on purpose, delete {record}"
        )

    def _record_of(self, path: Path) -> Path:
        # Files of one name may lie in several folders, as $TORCH_HOME changes.
        folder = hashlib.sha256(str(path.parent.absolute()).encode()).hexdigest()[:8]
        return self.records / f"{path.name}.{folder}.json"

    def _record(self, entry: WeightEntry, path: Path, origin: str) -> None:
        content = {"file": str(path.absolute()), "entry": entry.name, "from": origin, "sha256": self.digest(path)}
        try:
            publish_json(self._record_of(path), content)
        except FtError as error:  # the file itself is good, and a read-only home is common on clusters
            self.notes.append(f"the digest of {path.name} could not be recorded, so later damage may not show: {error}")

    def _set_aside(self, entry: WeightEntry, path: Path) -> None:
        if path.exists() and (self._fault(entry, path) or self._change(path)):
            aside = path.with_name(f"{path.name}.bad-{self.digest(path)[:8]}")
            os.replace(path, aside)
            self.notes.append(f"{path.name} was fetched again; the damaged one is {aside}")

    def _note_unverifiable(self, entry: WeightEntry) -> None:
        if not entry.sha256:
            self.notes.append(f"no digest is published for {entry.file_name}: its content cannot be verified")


def open_cache(progress: Progress = ignore, environ: Mapping[str, str] = os.environ) -> Cache:
    """Return the cache that the environment names: $TORCH_HOME, $FT_CACHE, $XDG_CACHE_HOME, $FT_OFFLINE."""
    return Cache(hub_folder(environ), cache_folder(environ) / "weights", offline_by(environ), progress)
