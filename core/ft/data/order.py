"""In which order images come: a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ft.errors import FtError
from ft.machine.distributed import Share

Shuffle = bool | Sequence[float]
"""Whether images come in an order that is drawn; or how often each is drawn, relative to the others: then some come
several times in an epoch, and some not at all."""


def epoch_batches(n: int, batch_size: int, seed: int, epoch: int, shuffle: Shuffle) -> list[list[int]]:
    """Return the indices of every batch of an epoch.

    The order is a function of (seed, epoch), and of how often each image is drawn where they are not drawn alike.
    `batch_size` counts the images of one update, over however many processes. A last batch of a single image, which
    BatchNorm cannot train on, is merged into the one before.
    """
    order = _order(n, seed, epoch, shuffle)
    batches = [order[start : start + batch_size] for start in range(0, n, batch_size)]
    if len(batches) > 1 and len(batches[-1]) < min(2, batch_size):
        tail = batches.pop()
        batches[-1] = batches[-1] + tail
    return batches


@dataclass(frozen=True)
class Places:
    """The places of a batch of `size` images that a process computes, its `own`, and how many that process has which
    has the `fewest`; `each_computes_all` where every process computes the whole batch, as the only one does."""

    own: Sequence[int]
    size: int
    fewest: int
    each_computes_all: bool


def places_of(size: int, share: Share) -> Places:
    """Which places of a batch of `size` images a process computes.

    Images of opposite places stay together, since they may be blended with each other, and lie in opposite places of
    its own. A batch that has too few for every process is computed by each of them, whole.

    >>> places_of(8, Share(0, 2)).own, places_of(8, Share(1, 2)).own, places_of(3, Share(1, 4)).own
    ((0, 2, 5, 7), (1, 3, 4, 6), (0, 1, 2))
    """
    halves = (size + 1) // 2
    if share.world == 1 or halves < share.world:
        return Places(tuple(range(size)), size, size, each_computes_all=True)
    front = range(share.rank, halves, share.world)
    back = (size - 1 - place for place in reversed(front) if place != size - 1 - place)
    pairs, more = divmod(size // 2, share.world)
    fewest = 2 * pairs + (size % 2 if more == share.world - 1 else 0)
    return Places((*front, *back), size, fewest, each_computes_all=False)


def own_batches(n: int, batch_size: int, seed: int, epoch: int, shuffle: Shuffle, share: Share) -> list[list[int]]:
    """Return the indices of every batch of an epoch, as far as a process computes them."""
    batches = epoch_batches(n, batch_size, seed, epoch, shuffle)
    if share.world == 1:
        return batches
    return [[batch[place] for place in places_of(len(batch), share).own] for batch in batches]


def check_shared(batch_size: int, share: Share) -> None:
    """Raise FtError for a batch of fewer images than two a process."""
    if batch_size < 2 * share.world and share.world > 1:
        raise FtError(
            f"a batch of {batch_size} cannot be shared by {share.world} processes; use --batch-size {2 * share.world}"
        )


def full_batch(n: int, batch_size: int) -> int:
    """How many images every batch of an epoch has but perhaps the last: fewer than asked for where there are fewer."""
    return len(epoch_batches(n, batch_size, 0, 0, shuffle=False)[0])


def spans(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Where the batches of an epoch that is not shuffled begin and end."""
    return [(batch[0], batch[-1] + 1) for batch in epoch_batches(n, batch_size, 0, 0, shuffle=False)]


def kept_in_batches(done: int, n: int, batch_size: int) -> int:
    """How many of the `done` images, the first of n in their order, are in batches that are done whole.

    >>> kept_in_batches(70, 100, 32), kept_in_batches(32, 33, 32), kept_in_batches(33, 33, 32)
    (64, 0, 33)
    """
    return done if done == n else max(begin for begin, _ in spans(n, batch_size) if begin <= done)


def _order(n: int, seed: int, epoch: int, shuffle: Shuffle) -> list[int]:
    """Order by random keys, or what they point to where images are drawn more often or less: numpy promises this
    stream, unlike its or torch's permutations, for all versions."""
    if shuffle is False:
        return list(range(n))
    keys = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(n)
    if shuffle is True:
        order: list[int] = np.argsort(keys, kind="stable").tolist()
        return order
    ends = np.cumsum(np.asarray(shuffle, np.float64))
    drawn: list[int] = np.searchsorted(ends, (keys >> np.uint64(11)) * 2.0**-53 * ends[-1], side="right").tolist()
    return drawn
