"""What the labels of a table may have been meant for: ft classifies, with one label an image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

_MEASURED = 20
"""Different numbers from which labels may be measurements."""


def doubts(labels: Sequence[str]) -> Iterator[str]:
    """Say where labels look like measurements, or like several labels in one."""
    different = set(labels)
    if len(different) > _MEASURED and len(different) > len(labels) / 4 and all(map(_is_number, different)):
        yield (
            f"the labels are {len(different)} different numbers in {len(labels)} rows, as {labels[0]}; ft classifies, "
            "and takes each number for a class. If they are measurements, bring them into classes first"
        )
    for separator in "|;,":
        if example := _several(different, separator):
            yield (
                f"labels as '{example}' look like several in one; ft classifies with one label an image, and takes "
                f"'{example}' for a class of its own"
            )
            return


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _several(labels: Collection[str], separator: str) -> str:
    """A label that puts others together: where few parts, some of them in several labels, make many labels."""
    joined = sorted(label for label in labels if separator in label)
    parts = Counter(part for label in labels for part in {each.strip(" []'\"") for each in label.split(separator)})
    shared = [label for label in joined if any(parts[each.strip(" []'\"")] > 1 for each in label.split(separator))]
    return shared[0] if shared and len(parts) <= len(labels) else ""
