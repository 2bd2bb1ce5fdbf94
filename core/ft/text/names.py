"""Names of files and classes as text: the same on every machine, whatever bytes they were made of."""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

_SEPARATORS = re.compile(r"[\s_.'’]+|-(?!\d)")


def portable(name: str) -> str:
    """Spell accented letters in one way; file systems differ in that, and a class must be one class on all of them."""
    return unicodedata.normalize("NFC", name)


def as_text(name: str) -> str:
    r"""Return a name that can be written as UTF-8: bytes that are none, as in old zip files, are spelt out.

    >>> print(as_text("caf\udce9.png"))
    caf\xe9.png
    """
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair that stands for one character, as Windows has them
        raw = name.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def typed(*words: object) -> str:
    """Return a command as it is typed: whatever holds spaces, or means something to a shell, in quotes.

    >>> typed("ft", "predict", "runs/my run", "IMAGES")
    "ft predict 'runs/my run' IMAGES"
    """
    return shlex.join(map(str, words))


def class_name(label: str) -> str:
    """Return the name of the class that a label means, whichever source it comes from: text, with accented letters
    spelt in one way, and without space around it. Applied twice it changes nothing more."""
    return portable(as_text(label)).strip()


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that puts 'class 10' after 'class 9'."""
    parts = re.split(r"0*([0-9]+)", name)  # text and numbers, which compare by length first, take turns
    return [(len(part), part) if place % 2 else (0, part.casefold()) for place, part in enumerate(parts)], name


def look_alikes(names: Iterable[str]) -> list[Sequence[str]]:
    """Return groups of names that differ in case, space, punctuation, the width of letters, or as 0 and 0.0 do."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_likeness(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _likeness(name: str) -> str:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return repr(number + 0.0)  # which makes 0.0 of -0.0
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _SEPARATORS.sub(" ", folded).strip() or name
