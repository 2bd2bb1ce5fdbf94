"""How often a fault is tried: seldom in every test run, often where FT_FAULTS=full (`make faults`)."""

from __future__ import annotations

import os

FULL = os.environ.get("FT_FAULTS") == "full"


def times(full: int, usual: int) -> int:
    """`full` with FT_FAULTS=full, else `usual`."""
    return full if FULL else usual
