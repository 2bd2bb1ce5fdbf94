"""The one exception that means "the user can mend this"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FtError(Exception):
    """A user's mistake. Its message says what, where, and what to type next.

    The command line prints the message alone and exits with code 2; a bug in ft stays a traceback.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `known`, or "" when nothing is near.

    >>> did_you_mean("regx", ["depth", "regex"])
    " Did you mean 'regex'?"
    """
    near = nearest(word, known, most=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def nearest(word: str, known: Iterable[str], most: int = 5) -> list[str]:
    """Return up to `most` of `known` that look like `word`, the nearest first."""
    return difflib.get_close_matches(word, list(known), n=most, cutoff=0.5)
