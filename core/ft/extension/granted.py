"""What the core hands to the functions of plugins: folders in which things appear whole and verified, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from ft.extension.records import WeightEntry


class WeightCache(Protocol):
    """What a weight source gets from the core: a folder that holds only whole, verified files.

    `offline` is the setting that forbids the network, as in "FT_OFFLINE=1", or "".
    """

    offline: str

    def find(self, entry: WeightEntry) -> Path | None:
        """Return the verified file of `entry`, or None."""

    def download(self, entry: WeightEntry, *urls: str) -> Path:
        """Return the verified file of `entry`: the cached one, or else what the first of `urls` that exists holds.

        It appears in the folder whole and verified or not at all. Raises FtError.
        """

    def store(
        self, entry: WeightEntry, origin: str, write: Callable[[BinaryIO], object], *, remote: bool = True
    ) -> Path:
        """Return the verified file of `entry`: the cached one, or else what `write` writes into the file it is given.

        For whatever `download` cannot fetch; `remote` says that `write` needs the network. `origin` names the place.
        Raises FtError, as when the network is forbidden.
        """

    def unpack(self, entry: WeightEntry, bundle: Path) -> Path:
        """Return the verified file of `entry`: the cached one, or else that in an archive of `ft weights bundle`."""

    def verify(self, entry: WeightEntry, path: Path) -> Path:
        """Return `path` when its content is that of `entry`. Raises FtError."""


class DataCache(Protocol):
    """What a data source gets from the core: a `folder` of its own, for what it fetches, unpacks or makes once.

    `offline` is the setting that forbids the network, as in "FT_OFFLINE=1", or "".
    """

    @property
    def folder(self) -> Path: ...

    @property
    def offline(self) -> str: ...

    def make(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return what is called `name` in the folder; if nothing is, `write` is given a path to make it at first.

        What `write` makes there, a file or a folder, gets its name when it is whole. Of several processes one writes
        and the others wait. Raises FtError when it cannot be written, and whatever `write` raises.
        """
