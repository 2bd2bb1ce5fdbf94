"""Folders of runs: which one is meant, which there are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ft.errors import FtError, nearest

LATEST = "latest"


def check_there(folder: Path) -> None:
    """Raise FtError, with the nearest names of runs beside it, where there is no such folder."""
    if os.path.exists(folder):
        return
    near = nearest(folder.name, runs_in(folder.parent))
    hint = f" Did you mean {' or '.join(str(folder.parent / name) for name in near)}?" if near else ""
    raise FtError(f"there is no folder {folder}.{hint}")


def runs_in(folder: Path) -> list[str]:
    """The names of the folders of runs in a folder, sorted; none where it cannot be looked into."""
    try:
        return sorted(path.name for path in folder.iterdir() if (path / "config.yaml").is_file())
    except OSError:
        return []


def folder_meant(folder: Path) -> Path:
    """The folder of a finished run that was asked for: as in `runs/latest`, where nothing is there, the run in `runs`
    whose model was saved last. Raises FtError where there is none."""
    if folder.name != LATEST or os.path.lexists(folder):
        return folder
    saved: dict[str, int] = {}
    for name in runs_in(folder.parent):
        with suppress(OSError):  # it has not finished, or somebody removes it
            saved[name] = (folder.parent / name / "model.safetensors").stat().st_mtime_ns
    if not saved:
        raise FtError(f"{folder} is the latest finished run in {folder.parent}, and there is none")
    return folder.parent / max(saved, key=lambda name: (saved[name], name))
