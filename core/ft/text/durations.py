"""How long something may take, as people write it: 90s, 10m, 1h30m."""

from __future__ import annotations

import re

LONGEST = 1000 * 3600.0
"""Seconds; what takes longer is no run on a budget."""
_FORM = re.compile(
    r"\s*(?:(?P<h>[0-9]+(?:\.[0-9]+)?)\s*h)?\s*(?:(?P<m>[0-9]+(?:\.[0-9]+)?)\s*m(?:in)?)?\s*(?:(?P<s>[0-9]+(?:\.[0-9]+)?)\s*s)?\s*"
)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str) -> float:
    """The seconds that a text says. Raises ValueError, with what to write, for a number alone and for what is none.

    >>> parse_duration("1h30m"), parse_duration("90s"), parse_duration("1.5 min")
    (5400.0, 90.0, 90.0)
    """
    found = _FORM.fullmatch(text)
    parts = {unit: number for unit, number in (found.groupdict() if found else {}).items() if number is not None}
    if not parts:
        if re.fullmatch(r"\s*[0-9]+(?:\.[0-9]+)?\s*", text):
            number = text.strip()
            raise ValueError(f"{number} of what? Write {number}s, {number}m or {number}h")
        raise ValueError("it is a time as 90s, 10m or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for unit, number in parts.items())
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"it is from 1s to {LONGEST / 3600:.0f}h")
    return seconds


def as_duration(seconds: float) -> str:
    """Whole seconds in that form; of more than an hour, whole minutes.

    >>> as_duration(5.4), as_duration(90), as_duration(600), as_duration(5460)
    ('5s', '1m30s', '10m', '1h31m')
    """
    whole = max(0, round(seconds))
    if whole >= 3600:
        whole = 60 * round(whole / 60)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    said = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(said) or "0s"
