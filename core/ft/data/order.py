"""In which order images come: a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ft.errors import FtError

Shuffle = bool | Sequence[float]
"""Whether images come in an order that is drawn; or how often each is drawn, relative to the others: then some come
several times in an epoch, and some not at all."""


@dataclass(frozen=True)
class Share:
    """What one process computes of every batch: process `rank` of `world`."""

    rank: int
    world: int


ALONE = Share(0, 1)


def epoch_batches(
    n: int, batch_size: int, seed: int, epoch: int, shuffle: Shuffle, share: Share = ALONE
) -> list[list[int]]:
    """Return the indices of every batch of an epoch, as far as they are a process's `share`.

    The order is a function of (seed, epoch), and of how often each image is drawn where they are not drawn alike.
    `batch_size` counts the images of one update over all processes; each takes its share of every batch, so an update
    sees the same images however many there are, and all take the same number of steps (unless there are fewer images
    than processes). A last batch that would leave a process with a single image, which BatchNorm cannot train on, is
    merged into the one before. Raises FtError for a batch of fewer images than processes.
    """
    world = share.world
    if batch_size < world:
        raise FtError(f"a batch of {batch_size} cannot be shared by {world} processes; use --batch-size {2 * world}")
    order = _order(n, seed, epoch, shuffle)
    batches = [order[start : start + batch_size] for start in range(0, n, batch_size)]
    fewest = min(2 * world, batch_size)
    if len(batches) > 1 and len(batches[-1]) < fewest:
        tail = batches.pop()
        batches[-1] = batches[-1] + tail
    return [own for batch in batches if (own := batch[share.rank :: world])]


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
