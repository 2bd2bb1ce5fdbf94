"""What of a run fits into a time: how long its phases take, and which of their epochs are cut for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Takes:
    """About how many seconds a phase takes: `once`, for what is computed before its first epoch, and for each `epoch`
    with its validation, of which there are to be so many. One that `solves` for the head has penalties in the place of
    epochs, and all of them."""

    once: float
    epoch: float
    epochs: int
    solves: bool = False

    @property
    def least(self) -> float:
        """Seconds of the phase with as few epochs as there may be."""
        return self.once + self.epoch * (self.epochs if self.solves else 1)

    @property
    def all(self) -> float:
        """Seconds of the phase with all its epochs."""
        return self.once + self.epoch * self.epochs


@dataclass(frozen=True)
class Clock:
    """A run's time while it goes by: when it began (as time.monotonic tells), how many seconds it has, and how many
    it needs after its last epoch; and what each of its phases takes."""

    began: float
    seconds: float
    ending: float
    phases: tuple[Takes, ...]

    def ends_by(self, number: int) -> float:
        """When the phase of that number, from 1, is to be over, so that those after it have what they need."""
        return self.began + self.seconds - self.ending - sum(each.all for each in self.phases[number:])

    def spent(self) -> float:
        """The seconds that have passed."""
        return time.monotonic() - self.began


def fitting(phases: Sequence[Takes], seconds: float) -> list[int]:
    """How many epochs of each phase fit into so many seconds; 0 for a phase that is left out, and all 0 where not even
    one phase fits.

    Epochs are cut by the same share in all phases that take steps, down to one. Where that does not fit, the last of
    these phases is left out, then the one before it; phases that solve for the head are left out last.
    """
    kept = list(range(len(phases)))
    while kept and sum(phases[at].least for at in kept) > seconds:
        steps = [at for at in kept if not phases[at].solves]
        kept.remove((steps or kept)[-1])
    epochs = {at: phases[at].epochs for at in kept}
    while sum(phases[at].once + phases[at].epoch * epochs[at] for at in kept) > seconds:
        cut = [at for at in kept if not phases[at].solves and epochs[at] > 1]
        if not cut:  # rounding: it fits with one epoch each, as was seen above
            break
        epochs[max(cut, key=lambda at: (epochs[at] / phases[at].epochs, at))] -= 1
    return [epochs.get(at, 0) for at in range(len(phases))]
