"""`local:PATH`: a weight file on this machine, a folder of them, a bundle of them, or a finished run."""

from __future__ import annotations

import os
import shlex
import zipfile
from pathlib import Path

from ft import FtError, Settings, WeightCache, WeightEntry, did_you_mean
from ft_weights.suffixes import SUFFIXES

RUN = ("config.yaml", "model.safetensors")
"""What a run writes first, and its weights once it is finished."""


def fetch(entry: WeightEntry, argument: str | None, settings: Settings, cache: WeightCache) -> Path:
    """Return the file at PATH, or the entry's own in the folder or the bundle at PATH, or the weights of the run there.

    A file that is named, of whatever name, and a run's weights may be the user's own work, so they need not be the
    published ones; a file that is found in a folder or a bundle by its usual name must be. Raises FtError when there is
    none, or another one.
    """
    if not argument:
        raise FtError("write which file or folder, as in local:./resnet50.pth")
    path = Path(os.path.expanduser(argument))
    if path.is_dir():
        return _of_a_run(path) or cache.verify(entry, _inside(path, entry.file_name))
    if not path.is_file():
        near = did_you_mean(path.name, _weight_files(path.parent))
        raise FtError(f"there is no file or folder {path.absolute()}.{near}{_neighbours(path.parent)}")
    return cache.unpack(entry, path) if _is_bundle(path) else path


def is_here(entry: WeightEntry, argument: str | None) -> bool:
    """Whether there is a file or a folder at PATH."""
    return os.path.exists(os.path.expanduser(argument)) if argument else False


def _of_a_run(folder: Path) -> Path | None:
    """The weights of the run in `folder`; None when there is no run. Raises FtError when it is not finished."""
    config, model = (folder / name for name in RUN)
    if not config.is_file():
        return None
    if not model.is_file():
        raise FtError(f"the run {folder} is not finished; finish it with: ft run --resume {shlex.quote(str(folder))}")
    return model


def _is_bundle(path: Path) -> bool:
    """Whether a file is an archive of `ft weights bundle`: it says what it holds, and torch's archives do not."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # no zip, or a damaged one: whatever zipfile raises over it
        return path.suffix == ".zip"
    return "manifest.json" in names or (path.suffix == ".zip" and not any(n.endswith("/data.pkl") for n in names))


def _inside(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise FtError(f"there is no {name} in {folder}.{_neighbours(folder)} Name one of them if you mean that file")
    return folder / name


def _neighbours(folder: Path) -> str:
    """Say which weight files a folder holds."""
    names = _weight_files(folder)
    return f" Weight files there: {', '.join(names[:8]) or 'none'}{', ...' if len(names) > 8 else ''}."


def _weight_files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(SUFFIXES)) if folder.is_dir() else []
