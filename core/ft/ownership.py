"""Whether somebody else could have put something into a file or folder that ft is about to believe.

A folder that a group shares on purpose, with write permission for the group, is believed as far as one is in that
group: the usual umask of many systems, 002, gives that permission, too. What everybody may write to never is, and what
belongs to a stranger is not.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
        return f"everybody on this machine can write to {path}; if it is yours, end that with: chmod o-w {path}"
    shared = above.st_mode & stat.S_IWGRP and found.st_gid in {os.getgid(), *os.getgroups()}
    if found.st_uid not in (os.getuid(), 0) and not shared:
        return f"{path} belongs to another user (number {found.st_uid}), with whom no group of yours shares its folder"
    return ""


def strange_run(folder: Path) -> list[str]:
    """What to warn of before a run's folder is used: it, or a file in it, is what others can change; one line or none.

    What they may have changed, nobody can tell.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []  # whoever reads it says so
    return [said for path in (folder, *inside) if (said := others_can_change(path))][:1]
