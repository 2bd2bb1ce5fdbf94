"""Random numbers: every generator that a plugin's code may draw from follows from a seed where it matters.

torch's, `random`'s and numpy's generators belong to the whole process. So one run at a time goes on in it, and a thread
that needs numbers from a seed, be it for a training step or to build a network, has the generators for itself.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ft.errors import FtError

_RUNNING = threading.Lock()
_DRAWING = threading.RLock()
if hasattr(os, "register_at_fork"):  # a loader process must not inherit a lock that a thread of its parent holds
    os.register_at_fork(before=_DRAWING.acquire, after_in_parent=_DRAWING.release, after_in_child=_DRAWING.release)


@contextmanager
def one_run_at_a_time() -> Iterator[None]:
    """A block in which no other thread of this process may train; generators are afterwards as they were.

    Raises FtError where one does already: each would draw numbers that the other is to have.
    """
    if not _RUNNING.acquire(blocking=False):
        raise FtError(
            "another run is going on in this process, and both would draw from the same random numbers; "
            "wait for it, or start this one in a process of its own"
        )
    try:
        with _state_kept(_of_devices):
            yield
    finally:
        _RUNNING.release()


@contextmanager
def drawing_from(seed: int, device: str = "cpu", torch_only: bool = False) -> Iterator[None]:
    """A block whose random numbers, on the CPU and on `device`, follow from `seed`, whatever other threads do.

    Where it draws from torch's generators alone (`torch_only`), the others are left as they are: that takes less time.
    """
    with _DRAWING:
        (seed_torch if torch_only else seed_all)(seed, device)
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A block whose random numbers on the CPU follow from `seed`; afterwards every generator is as it was."""
    with _DRAWING, _state_kept():
        seed_all(seed)
        yield


def seed_all(seed: int, device: str = "cpu") -> None:
    """Seed every generator that code on the CPU and on `device` draws from."""
    with _DRAWING:
        seed_torch(seed, device)
        random.seed(seed)
        np.random.seed(seed % 2**32)


def seed_torch(seed: int, device: str = "cpu") -> None:
    """Seed torch's generators on the CPU and on `device`."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device, which takes longer
    kind = torch.device(device).type
    if kind != "cpu":
        module = getattr(torch, kind)
        # `manual_seed` alone is that of the current device, which need not be this one.
        getattr(module, "manual_seed_all", module.manual_seed)(seed)


def step_seed(seed: int, step: int) -> int:
    """Seed of the random numbers (dropout, stochastic depth) that one training step draws."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63


@contextmanager
def random_state_kept() -> Iterator[None]:
    """A block after which every generator, also those of devices, is as it was; no other thread has them meanwhile."""
    with _DRAWING, _state_kept(_of_devices):
        yield


@contextmanager
def _state_kept(more: Callable[[], Callable[[], None]] | None = None) -> Iterator[None]:
    with _DRAWING:  # held while states are taken and put back: another thread does the same
        torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()
        put_back_more = more() if more else None
    try:
        yield
    finally:
        with _DRAWING:
            torch.set_rng_state(torch_state)
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            if put_back_more:
                put_back_more()


def _of_devices() -> Callable[[], None]:
    """Take the states of devices' generators; return what puts them back."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    on_cuda = {device: torch.cuda.get_rng_state(device) for device in devices}
    on_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back() -> None:
        for device, state in on_cuda.items():
            torch.cuda.set_rng_state(state, device)
        if on_mps is not None:
            torch.mps.set_rng_state(on_mps)

    return put_back
