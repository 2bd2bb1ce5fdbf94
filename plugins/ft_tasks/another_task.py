"""Whether names of classes look like labels of another task: lists of labels, or quantities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ft_tasks.numbers import is_number

_QUANTITIES = 10
"""Different numbers from which labels may be quantities."""


def another_task(names: Sequence[str], images: int = 0) -> str:
    """What to say where the names of classes look like lists of labels, or like quantities; else ""."""
    for separator in ";|,":
        if several := _several(names, separator):
            setting = "" if separator == ";" else f" --set 'task.separator={separator}'"
            return f"Labels as '{several}' look like several in one: if they are, use --task multilabel{setting}"
    if len(names) < _QUANTITIES or not all(map(is_number, names)):
        return ""
    if len(names) > images / 3 or not all(name.lstrip("+-").isdecimal() for name in names):
        return f"The labels are {len(names)} different numbers: if they are quantities, use --task regression"
    return ""


def _several(names: Sequence[str], separator: str) -> str:
    """A label that puts others together: of most where that is what parts labels, or where few parts, some of them in
    several labels, make many labels."""
    joined = sorted(name for name in names if separator in name)
    if separator == ";" and len(joined) > len(names) / 2:
        return joined[0]
    parts = Counter(part for name in names for part in {each.strip(" []'\"") for each in name.split(separator)})
    shared = [name for name in joined if any(parts[each.strip(" []'\"")] > 1 for each in name.split(separator))]
    return shared[0] if shared and len(parts) <= len(names) else ""
