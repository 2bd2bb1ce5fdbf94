"""Which files this process has mapped into its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

MAPS = Path("/proc/self/maps")
needs_maps = pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what a process has mapped")


def mapped_file_at(address: int) -> str:
    """The file that this process has mapped at an address; "" where memory is its own."""
    for line in MAPS.read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            return line.split(maxsplit=5)[5] if line.count("/") else ""
    return ""
