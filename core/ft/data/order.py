"""In which order images come: a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ft.errors import FtError


@dataclass(frozen=True)
class Share:
    """What one process computes of every batch: process `rank` of `world`."""

    rank: int
    world: int


ALONE = Share(0, 1)


def epoch_batches(
    n: int, batch_size: int, seed: int, epoch: int, shuffle: bool, share: Share = ALONE
) -> list[list[int]]:
    """Return the indices of every batch of an epoch, as far as they are a process's `share`.

    The order is a function of (seed, epoch) alone. `batch_size` counts the images of one update over all processes;
    each takes its share of every batch, so an update sees the same images however many there are, and all take the
    same number of steps (unless there are fewer images than processes). A last batch that would leave a process with a
    single image, which BatchNorm cannot train on, is merged into the one before. Raises FtError for a batch of fewer
    images than processes.
    """
    world = share.world
    if batch_size < world:
        raise FtError(f"a batch of {batch_size} cannot be shared by {world} processes; use --batch-size {2 * world}")
    order = _permutation(n, seed, epoch) if shuffle else list(range(n))
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


def _permutation(n: int, seed: int, epoch: int) -> list[int]:
    """Order by random keys: numpy promises this stream, unlike its or torch's permutations, for all versions."""
    keys = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(n)
    order: list[int] = np.argsort(keys, kind="stable").tolist()
    return order
