"""Names of classes as names of folders, on any system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ft.text.names import as_text

_UNFIT = re.compile(r'[/\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST = 120
"""Bytes of a name."""


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """A folder for each of several names: the name itself where it may be one everywhere, else one that is like it. No
    two are one folder, also where upper and lower case are the same.

    >>> folder_names(["cat", "a/b", "..", "CON", "a_b"])
    {'cat': 'cat', 'a_b': 'a_b', 'a/b': 'a_b-2', '..': '__', 'CON': '_CON'}
    """
    made: dict[str, str] = {}
    taken: set[str] = set()
    wanted = {name: _fit(name) for name in names}
    for name, folder in sorted(wanted.items(), key=lambda each: each[0] != each[1]):  # who need not change comes first
        number, free = 1, folder
        while _folded(free) in taken:
            number += 1
            free = f"{folder}-{number}"
        taken.add(_folded(free))
        made[name] = free
    return made


def _fit(name: str) -> str:
    """A name without what a file system may not bear: separators, what cannot be seen, a dot at its
    beginning or end, the names of devices on Windows."""
    text = "".join(letter if letter.isprintable() else "_" for letter in _UNFIT.sub("_", as_text(name))).strip()
    text = text.encode()[:_LONGEST].decode(errors="ignore")
    text = re.sub(r"^\.|[. ]$", "_", text)
    return f"_{text}" if not text or _RESERVED.fullmatch(text) else text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
