"""How far the fetching of one file is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Transfer:
    """How far a download is: bytes `done` of `total` (None when the server does not say), bytes a second."""

    file_name: str
    done: int
    total: int | None
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end at this rate; None when that cannot be said."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate > 0 else None


Progress = Callable[[Transfer], None]
"""Called at the start, after each piece and at the end of a download."""
