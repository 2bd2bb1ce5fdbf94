"""The folder in which a data source keeps what it fetched, unpacked or made, for later runs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Component, implementation
from ft.machine.files import cache_folder, explained, left_behind, temporary_beside
from ft.weights.cache import offline_by
from ft.weights.lock import one_at_a_time

_PATIENCE = 60.0
"""Seconds without a sign of life after which another process that makes the same is not waited for any longer."""


@dataclass(frozen=True)
class SourceFolder:
    """Implements `ft.DataCache`."""

    folder: Path
    offline: str = ""

    def make(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return what is called `name` in the folder; if nothing is, `write` is given a path to make it at first.

        What `write` makes there, a file or a folder, gets its name when it is whole. Raises CannotWrite, and whatever
        `write` raises.
        """
        path = self.folder / _plain(name)
        if path.exists():
            return path
        with one_at_a_time(self.folder / f".{name}.lock", path, _PATIENCE):
            if not path.exists():
                _publish(path, write)
        return path


def load_samples(component: Component, argument: str | None, settings: Any, group: str | None = None) -> Iterable[Any]:
    """Ask a data source for its samples, with a folder of its own where `load` has a parameter `cache`, and with the
    column to group by where it has a parameter `group`. Raises FtError for a column where it has none."""
    load = implementation(component, "load")
    takes, given = inspect.signature(load).parameters, dict[str, Any]()
    if "group" in takes:
        given["group"] = group
    elif group is not None:
        raise FtError(
            f"data source '{component.name}' has no columns, so none called '{group}' to group images by. Leave out "
            "--split-group, or list the images and their groups in a table: --data FILE.csv"
        )
    if "cache" in takes:
        given["cache"] = cache = SourceFolder(_folder_of(component), offline_by())
        with explained(cache.folder):
            cache.folder.mkdir(parents=True, exist_ok=True)
    samples: Iterable[Any] = load(argument, settings, **given)
    return samples


def _folder_of(component: Component) -> Path:
    """A source's own folder; what is not packaged is told from others of its name by where it lies."""
    owner = component.distribution
    if component.version == "not packaged":
        place = hashlib.sha256(os.path.abspath(os.path.expanduser(owner)).encode()).hexdigest()
        owner = f"{Path(owner).stem}-{place[:8]}"
    return cache_folder() / "data" / _slug(owner) / _slug(component.name)


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip(".-") or "source"


def _plain(name: str) -> str:
    if not name or name != Path(name).name or name.startswith(".") or "\\" in name or "\0" in name:
        raise FtError(f"{name!r} cannot be a name in a data source's cache folder: it must be plain, without folders")
    return name


def _publish(path: Path, write: Callable[[Path], object]) -> None:
    for each in left_behind(path.parent, path.name):
        _remove(each)
    aside = temporary_beside(path)
    try:
        try:
            write(aside)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):  # else it is the source's matter, as a server's answer
                raise
            with explained(path):
                raise
        with explained(path):
            if not path.exists():  # else another process was quicker
                aside.rename(path)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
