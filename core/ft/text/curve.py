"""A curve as small as a word."""

from __future__ import annotations

import math
from collections.abc import Sequence

HEIGHTS = "▁▂▃▄▅▆▇█"
HEIGHTS_IN_ASCII = "_.-'"
"""The same where a terminal knows no other characters."""


def curve(values: Sequence[float], cells: int, ascii_only: bool = False) -> str:
    """Numbers as a line of heights, the lowest and the highest of them being the lowest and the highest that there are.

    Of more numbers than cells each cell shows the last of its share, so that the last number is always the last cell.
    There is no curve of fewer than two numbers, nor of such that are none.

    >>> curve([1, 2, 4, 8], 8), curve([8, 4, 2, 1], 2), curve([1, 2, 4, 8], 8, ascii_only=True), curve([3], 8)
    ('▁▂▄█', '▄▁', "__.'", '')
    """
    if len(values) < 2 or cells < 1 or not all(map(math.isfinite, values)):
        return ""
    cells = min(cells, len(values))
    shown = [values[(cell + 1) * len(values) // cells - 1] for cell in range(cells)]
    heights = HEIGHTS_IN_ASCII if ascii_only else HEIGHTS
    low, high = min(values), max(values)
    return "".join(heights[_height(value, low, high, len(heights))] for value in shown)


def _height(value: float, low: float, high: float, heights: int) -> int:
    """Which of so many heights a value has; where all are equal, the one in the middle."""
    share = value / 2 - low / 2, high / 2 - low / 2  # halves, whose difference is always finite
    return min(heights - 1, int(share[0] / share[1] * heights)) if share[1] else heights // 2
