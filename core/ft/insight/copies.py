"""Images that show the same, though their files differ: resized, compressed anew, mirrored.

Neighbours in feature space are candidates, since a network was trained to see what an image shows; whether they are
copies is decided by their pixels, since it was also trained to take two things of one kind for alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ft.insight.likeness import TURNS, Common, details, in_common, plain
from ft.insight.neighbours import Neighbours

ALIKE = 0.9
"""Correlation of details from which two images are copies (docs/data-check.md has the measurement)."""
PROMISING = 0.9
"""Correlation of the small images below which details are not looked at; a copy of a solar cell that was reduced to a
third, or compressed at quality 30, has 0.97 or more."""
BLOCK = 2048
"""Pairs that are compared together."""


@dataclass(frozen=True)
class Copy:
    """Two images by their places, what was done to one of them beside its file, and how alike they are, at most 1."""

    first: int
    second: int
    changed: str
    score: float


def candidates(near: Neighbours, digests: Sequence[str]) -> list[tuple[int, int]]:
    """Each pair of an image and one of its neighbours, once, the lower place first, but for those of equal files, which
    need no comparison."""
    pairs = {
        (min(one, other), max(one, other))
        for one, others in enumerate(near.places.tolist())
        for other in others
        if digests[one] != digests[other]
    }
    return sorted(pairs)


def find_copies(
    pairs: Sequence[tuple[int, int]], signatures: Mapping[int, Tensor], digests: Sequence[str]
) -> tuple[Copy, ...]:
    """The pairs that show the same, going by the `signatures` of all images in them, and those of equal files; the most
    alike first."""
    found = [*_equal(digests), *(_alike(pairs, signatures) if pairs else ())]
    return tuple(sorted(found, key=lambda copy: (-copy.score, copy.first, copy.second)))


def _equal(digests: Sequence[str]) -> Iterator[Copy]:
    first: dict[str, int] = {}
    for place, digest in enumerate(digests):
        before = first.setdefault(digest, place)
        if before != place:
            yield Copy(before, place, "the same bytes", 1.0)


def _alike(pairs: Sequence[tuple[int, int]], signatures: Mapping[int, Tensor]) -> Iterator[Copy]:
    places = list(signatures)
    rows = {place: row for row, place in enumerate(places)}
    stacked = torch.stack([signatures[place] for place in places])
    common = in_common(stacked)
    numbered = torch.tensor([(rows[one], rows[other]) for one, other in pairs])
    for block in torch.split(numbered, BLOCK):
        best, how = _likeness(stacked, block, common)
        for at in torch.nonzero(best >= ALIKE).flatten().tolist():
            one, other = (places[row] for row in block[at].tolist())
            yield Copy(one, other, list(TURNS)[int(how[at])], min(float(best[at]), 1.0))


def _likeness(stacked: Tensor, block: Tensor, common: Common) -> tuple[Tensor, Tensor]:
    """The likeness [B] of each pair of rows in `block` [B, 2], turned as it is largest, and which turn [B] that is."""
    one, other = stacked[block[:, 0]], stacked[block[:, 1]]
    left = plain(one)
    best, how = torch.zeros(len(block)), torch.zeros(len(block), dtype=torch.int64)
    for number, turn in enumerate(TURNS.values()):
        right = plain(turn(other))
        at = torch.nonzero((left * right).sum(1) >= PROMISING).flatten()
        alike = (details(left[at], common) * details(right[at], common)).sum(1)
        better = alike > best[at]
        best[at[better]], how[at[better]] = alike[better], number
    return best, how
