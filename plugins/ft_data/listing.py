"""Folders and what they hold, listed so that nothing in them is lost in silence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ft import FtError, is_image

_LEFT_BEHIND = {  # by archives, systems and file servers
    *("__macosx", "@eadir", "__pycache__", "lost+found", "$recycle.bin", "system volume information"),
    *("thumbs.db", "desktop.ini"),
}


@dataclass(frozen=True)
class Files:
    """What a folder and the folders inside it hold: images, and what is left out, both by path."""

    images: Sequence[Path]
    others: Sequence[Path]


def files_in(folder: Path) -> Files:
    """Return what `folder` and the folders inside it hold; links are followed, but never round in a circle.

    Raises FtError for a folder that cannot be read.
    """
    images: list[str] = []
    others: list[str] = []
    seen: set[str] = set()
    waiting = [str(folder)]  # not os.walk, which calls itself for each level
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        for entry in _scanned(place):
            if entry.is_dir():
                waiting.append(entry.path)
            else:
                (images if is_image(entry.path) else others).append(entry.path)
    return Files(_in_order(images), _in_order(others))


def folders_in(folder: Path) -> list[Path]:
    """Return the visible folders directly in `folder`, by name. Raises FtError, also for a link that leads nowhere."""
    return [path for path in _visible(folder) if path.is_dir()]


def loose_images(folder: Path) -> list[str]:
    """Return the names of the images directly in `folder`. Raises FtError, also for a link that leads nowhere."""
    return [path.name for path in _visible(folder) if not path.is_dir() and is_image(path)]


def some(names: Sequence[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def listing(folder: Path) -> str:
    """Say what there is in `folder`."""
    return some([path.name for path in _entries(folder)]) or "nothing in it"


def _in_order(files: list[str]) -> list[Path]:
    """Files by the names of their folders, and then by their own, as paths compare."""
    return [Path(file) for file in sorted(files, key=lambda file: file.split(os.sep))]


def _visible(folder: Path) -> list[Path]:
    visible = [path for path in _entries(folder) if not _is_hidden(path.name)]
    if lost := [path for path in visible if path.is_symlink() and not os.path.exists(path)]:
        raise FtError(
            f"{lost[0]} is a link that leads nowhere (to {os.readlink(lost[0])}), and what it stands for would be "
            "missing; mend it or remove it"
        )
    return visible


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(error) from error


def _scanned(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _is_hidden(entry.name)]
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> FtError:
    return FtError(f"cannot read the folder {error.filename}: {error.strerror}")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BEHIND
