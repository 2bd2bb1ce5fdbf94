"""Names that are looked for among those of many rows: all at once, in memory that grows with their number alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ft.cache.rows import Rows

_BYTES = "S32"
"""Such strings are compared as if both were filled up with zeros, which is right for names of equal length."""


def as_array(names: Sequence[bytes]) -> np.ndarray:
    """Names of 32 bytes each as an array that can be sorted."""
    return np.frombuffer(b"".join(names), _BYTES)


def names_of(rows: Rows) -> np.ndarray:
    """The names that are the last tensor of named rows."""
    return np.ascontiguousarray(rows.tensors[-1].numpy()).view(_BYTES).ravel()


class WantedNames:
    """The names of the `wanted` of some rows, those that were found and those that are `missing`."""

    def __init__(self, names: Sequence[bytes], wanted: Iterable[int] | None = None) -> None:
        every = wanted is None
        self._numbers = np.arange(len(names)) if wanted is None else np.unique(np.fromiter(wanted, np.int64))
        asked = as_array(names if every else [names[number] for number in self._numbers])
        self._names, self._which = np.unique(asked, return_inverse=True)
        self._there = np.zeros(len(self._names), bool)
        self.missing = len(self._names)

    def are_among(self, rows: Rows) -> bool:
        """Whether some of the missing ones are."""
        return bool(self.missing and len(self._hits(rows)[0]))

    def take(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers of missing ones that are among named rows, and their places there; they are missing no more."""
        names, places = self._hits(rows)
        place_of = np.full(len(self._names), -1)
        place_of[names] = places
        self._there[names] = True
        self.missing -= len(np.unique(names))
        found = place_of[self._which]
        return torch.from_numpy(self._numbers[found >= 0]), torch.from_numpy(found[found >= 0])

    def _hits(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Which of the names are at which places, of those that are missing."""
        written = names_of(rows)
        at = np.minimum(np.searchsorted(self._names, written), len(self._names) - 1)
        (places,) = np.nonzero((self._names[at] == written) & ~self._there[at])
        return at[places], places
