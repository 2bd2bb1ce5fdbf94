"""Images that show the same, though their files differ: resized, compressed anew, mirrored.

Pixels decide, of every pair. Neighbours in feature space are no help: a network takes two things of one kind for alike,
and a JPEG of low quality for something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ft.insight.likeness import TURNS, details, in_common, plain

ALIKE = 0.9
"""Correlation of details from which two images are copies (docs/data-check.md has the measurement)."""
PROMISING = 0.9
"""Correlation of the small images below which they are no copies, whatever their details. A copy of a solar cell that
was reduced to a third, or compressed at quality 30, has 0.97 or more."""
BLOCK = 512
"""Images that are compared with all others together."""


@dataclass(frozen=True)
class Copy:
    """Two images by their places, what was done to one of them beside its file, and how alike they are, at most 1."""

    first: int
    second: int
    changed: str
    score: float


def find_copies(
    signatures: Tensor, digests: Sequence[str], tell: Callable[[int], None] = lambda _: None
) -> tuple[Copy, ...]:
    """The pairs that show the same, going by the `signatures` [N, SIDE, SIDE], and those of equal files; the most alike
    first. It takes 2 N² SIDE² multiplications. `tell` hears how many images are done."""
    found = {(copy.first, copy.second): copy for copy in _equal(digests)}
    for copy in _alike(signatures, tell):
        pair = copy.first, copy.second
        if digests[copy.first] != digests[copy.second] and (pair not in found or found[pair].score < copy.score):
            found[pair] = copy
    return tuple(sorted(found.values(), key=lambda copy: (-copy.score, copy.first, copy.second)))


def _equal(digests: Sequence[str]) -> Iterator[Copy]:
    first: dict[str, int] = {}
    for place, digest in enumerate(digests):
        before = first.setdefault(digest, place)
        if before != place:
            yield Copy(before, place, "the same bytes", 1.0)


def _alike(signatures: Tensor, tell: Callable[[int], None]) -> Iterator[Copy]:
    """Each pair that is alike, once for each turn in which it is."""
    common, whole = in_common(signatures), plain(signatures)
    own = details(whole, common)
    for start in range(0, len(signatures), BLOCK):
        block = signatures[start : start + BLOCK]
        for changed, turn in TURNS.items():
            turned = plain(turn(block))
            alike = details(turned, common) @ own[start:].t()
            for row, column in torch.nonzero(alike >= ALIKE).tolist():
                other = start + column
                if row < column and turned[row] @ whole[other] >= PROMISING:
                    yield Copy(start + row, other, changed, min(float(alike[row, column]), 1.0))
        tell(start + len(block))
