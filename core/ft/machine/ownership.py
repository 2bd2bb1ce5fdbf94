"""Whether somebody else could have put something into a file or folder that ft is about to believe.

A folder that a group shares on purpose, with write permission for the group, is believed as far as one is in that
group: the usual umask of many systems, 002, gives that permission, too. What everybody may write to never is, and what
belongs to a stranger is not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ft.machine.files import cache_folder
from ft.text.names import typed


def others_can_change(path: Path) -> str:
    """Say who else may have written what is at `path`, and how to end that; "" for nobody, or where nothing is."""
    try:
        found, above = os.stat(path), os.stat(path.parent)
    except OSError:
        return ""
    if not hasattr(os, "getuid"):  # Windows has other permissions
        return ""
    mode = found.st_mode
    if mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        end_it = typed("chmod", "o-w", path)
        return f"everybody on this machine can write to {path}; if it is yours, end that with: {end_it}"
    shared = above.st_mode & stat.S_IWGRP and found.st_gid in {os.getgid(), *os.getgroups()}
    if found.st_uid not in (os.getuid(), 0) and not shared:
        return f"{path} belongs to another user (number {found.st_uid}), with whom no group of yours shares its folder"
    return ""


def doubtful(*paths: Path) -> str:
    """What `others_can_change` says of the first of `paths` of which it says something; "" for none."""
    return next(filter(None, map(others_can_change, paths)), "")


def strange_cache(weights: Path | None = None) -> list[str]:
    """What to warn of before the caches are used: a folder or file there is what others can change; a line or none.

    Features, digests of images and paces are then made anew. `weights` is a file that no published digest tells; it,
    and what data sources keep, is used all the same, and nobody can tell what it was.
    """
    cache = cache_folder()
    own = [cache, *(cache / name for name in ("features", "known", "paces"))]
    if said := doubtful(*own, *(path for folder in own[1:] for path in _inside(folder))):
        return [f"what is kept is not believed, and made anew: {said}"]
    if weights is not None and (said := doubtful(weights.parent, weights)):
        return [
            f"no digest is published for {weights.name}, so nobody can tell whether it is what it was, and {said}. "
            "weights.sha256 pins it"
        ]
    kept = [cache / "data", *(path for owner in _inside(cache / "data") for path in (owner, *_inside(owner)))]
    said = doubtful(*kept)
    return [f"nobody can tell whether what data sources keep is what it was: {said}"] if said else []


def _inside(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return  # nothing is there, or whoever reads it says so


def strange_run(folder: Path) -> list[str]:
    """What to warn of before a run's folder is used: it, or a file in it, is what others can change; one line or none.

    What they may have changed, nobody can tell.
    """
    said = doubtful(folder, *_inside(folder))
    return [said] if said else []
