"""What a head reads of images, listened to while a network runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def read_by(head: nn.Module) -> Iterator[list[Tensor]]:
    """A block in which the list gets, of every batch that this thread runs, what a head reads of it: [N, D] in float32
    on the CPU; of a head that reads a map [N, D, H, W], its mean over all places."""
    owner, read = threading.get_ident(), list[Tensor]()

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == owner:
            given = inputs[0].detach().float()
            read.append((given if given.ndim == 2 else given.flatten(2).mean(2)).cpu())

    handle = head.register_forward_pre_hook(keep)
    try:
        yield read
    finally:
        handle.remove()
