"""`local:PATH`: a weight file on this machine, a folder of them, or a bundle of them."""

from __future__ import annotations

import os
from pathlib import Path

from ft import FtError, Settings, WeightCache, WeightEntry

SUFFIXES = (".pth", ".pt", ".safetensors")
BUNDLE = ".zip"


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the file at PATH, or the entry's own in the folder or the bundle (.zip) at PATH.

    A file that is named may be the user's own work, so it need not be the published one; one that is found in a folder
    or a bundle by its usual name must be. Raises FtError when there is none, or another one.
    """
    if not argument:
        raise FtError("write which file or folder, as in local:./resnet50.pth")
    path = Path(os.path.expanduser(argument))
    if path.is_dir():
        return cache.verify(entry, _inside(path, entry.file_name))
    if not path.is_file():
        raise FtError(f"there is no file or folder {path.absolute()}.{_neighbours(path.parent)}")
    if path.suffix == BUNDLE:
        return cache.unpack(entry, path)
    if path.suffix not in SUFFIXES:
        raise FtError(f"{path} is no weight file; ft reads {', '.join(SUFFIXES)}, and bundles ({BUNDLE})")
    return path


def _inside(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FtError(f"there is no {name} in {folder}.{_neighbours(folder)} Name one of them if you mean that file")
    return folder / name


def _neighbours(folder: Path) -> str:
    """Say which weight files a folder holds."""
    names = sorted(p.name for p in folder.iterdir() if p.suffix in SUFFIXES) if folder.is_dir() else []
    return f" Weight files there: {', '.join(names[:8]) or 'none'}{', ...' if len(names) > 8 else ''}."
