"""`before-weights:FOLDER`: weight files in a shared folder."""

import os
from pathlib import Path

from ft import FtError, Settings, WeightCache, WeightEntry


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the file of `entry`, verified. Raises FtError when the folder does not have it.

    It may lie in FOLDER or in FOLDER/<the entry's name>. `cache.verify` checks size and digest; a source that fetches
    from a server leaves both, and the cache folder, to `cache.download(entry, url)`.
    """
    if not argument:
        raise FtError("before-weights needs a folder, as in before-weights:/net/weights")
    folder = Path(os.path.expanduser(argument))
    for path in (folder / entry.file_name, folder / entry.name / entry.file_name):
        if path.is_file():
            return cache.verify(entry, path)
    raise FtError(f"there is no {entry.file_name} in {folder} nor in {folder / entry.name}")
