"""Keeps settings from asking for networks that no machine holds: `mlp` with `hidden: [10**12]` is 2 TB of weights."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ft.errors import FtError
from ft.machine.files import megabytes

_MAKE: tuple[Callable[..., torch.Tensor], ...] = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
"""What makes tensors from a size alone. Every layer of torch makes its own by the first three."""


@contextmanager
def within_memory(what: str, most: int | None = None) -> Iterator[None]:
    """A block in which a network is built. Raises FtError, which names `what`, before a tensor is made with which all
    of them would take more than `most` bytes, by default all the memory that this machine has."""
    with _Counting(what, machine_memory() if most is None else most):
        yield


def machine_memory() -> int:
    """The bytes of memory of this machine; a terabyte where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 10**12


class _Counting(TorchFunctionMode):
    def __init__(self, what: str, most: int) -> None:
        super().__init__()
        self._what, self._most, self._bytes = what, most, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _MAKE:
            self._bytes += _bytes_of(args, kwargs or {})
            if self._bytes > self._most:
                raise FtError(
                    f"{self._what} would take {megabytes(self._bytes)} and more, and this machine has "
                    f"{megabytes(self._most)} of memory; give it smaller settings"
                )
        return func(*args, **(kwargs or {}))


def _bytes_of(args: Any, kwargs: Any) -> int:
    size = kwargs["size"] if "size" in kwargs else args[0] if args and not isinstance(args[0], int) else args
    dtype = kwargs.get("dtype") or torch.get_default_dtype()
    return math.prod(map(int, size)) * int(dtype.itemsize)
