"""The one exception that means "the user can mend this", the one warning, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FtError(Exception):
    """A user's mistake. Its message says what, where, and what to type next.

    The command line prints the message alone and exits with the code that the class has; a bug in ft stays a traceback.
    """

    exit_code = 2


class NotGoodEnough(FtError):
    """What was made is not as good as was asked for, so it is not kept. Nothing is wrong with what was typed."""

    exit_code = 3


class FtWarning(UserWarning):
    """Something that the user may not have meant: what the command line prints as `warning:`, where Python calls ft."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `known`, or "" when nothing is near.

    >>> did_you_mean("regx", ["depth", "regex"])
    " Did you mean 'regex'?"
    """
    near = nearest(word, known, most=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def nearest(word: str, known: Iterable[str], most: int = 5) -> list[str]:
    """Return up to `most` of `known` that look like `word`, the nearest first; none where none does.

    >>> nearest("sceduler", ["head_lr", "weight_decay"]), nearest("Weight-Decay", ["head_lr", "weight_decay"])
    ([], ['weight_decay'])
    """
    likeness = {each: _likeness(_plain(word), _plain(each)) for each in known}
    near = [each for each, how_much in likeness.items() if how_much >= NEAR]
    return sorted(near, key=lambda each: -likeness[each])[:most]


NEAR = 0.65
"""From here on one word may be a slip for another: two letters exchanged of three is 0.67, chance alone reaches 0.6."""


def _likeness(word: str, other: str) -> float:
    """The share of letters that two words have in common, in order; the beginning of a word is near to it."""
    if len(word) > 2 and other.startswith(word):
        return max(NEAR, 1 - (len(other) - len(word)) / 100)
    if 2 * min(len(word), len(other)) < NEAR * (len(word) + len(other)):
        return 0.0  # too long or too short, before a word of a million letters is looked at
    matcher = difflib.SequenceMatcher(None, other, word)
    return matcher.ratio() if matcher.quick_ratio() >= NEAR else 0.0


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")
