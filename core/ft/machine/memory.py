"""Memory: what to do when it runs out, and to give back what is no longer needed."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ft.errors import FtError

T = TypeVar("T")
# CUDA and MPS say the first, torch's allocator on the CPU the others.
_SAID = re.compile(r"out of memory|can(?:'t|not) allocate memory|not enough memory|bad_alloc", re.IGNORECASE)
_SAID_OF_LIBRARIES = re.compile(r"failed to map segment|can't start new thread|cannot allocate memory", re.IGNORECASE)

_LARGE = 16 * 2**20
_HUGE = 2**30
_PLENTY = 8 * 2**30
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of cgroups of version 2, and of 1
_LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def arrange_large_blocks() -> None:
    """Have large blocks (the output of a layer for a batch of images is one) come in large pages; and have this
    process keep them for the next when they are freed, where there is memory enough for that, else return them at once.

    A block that comes anew from the system is cleared page by page. That took half of the time of a feature pass where
    each was returned, and longer where pages have 4 KB; torch asks for 2 MB where its own setting says so, which stands
    if it is set already. Blocks that are kept take up to a third more memory, as small ones come to lie between them,
    until `give_back_freed_memory`. Where there is no glibc, nothing is done.
    """
    import torch  # not above: this module is to explain also that torch cannot be loaded

    if _LARGE_PAGES not in os.environ:
        os.environ[_LARGE_PAGES] = "1"
        torch.empty(1)  # with its first tensor torch reads the setting, once for all; the environment is not ft's
        del os.environ[_LARGE_PAGES]
    if free_memory() >= _PLENTY:
        _tell_allocator(_M_MMAP_THRESHOLD, _HUGE)
        _tell_allocator(_M_TRIM_THRESHOLD, 2 * _HUGE - 1)
    else:
        return_large_blocks()


def return_large_blocks() -> None:
    """Have large blocks return to the system as soon as they are freed: this process is to stay small."""
    _tell_allocator(_M_MMAP_THRESHOLD, _LARGE)
    _tell_allocator(_M_TRIM_THRESHOLD, _LARGE)


def free_memory(root: Path = Path("/")) -> int:
    """The bytes that Linux says can still be taken, and no more than a container allows in all; else 0."""
    available, allowed = 0, 2**63
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # there is no container, or its limit is "max"
            allowed = min(allowed, int((root / "sys/fs/cgroup" / name).read_text()))
    return min(available, allowed)


def _tell_allocator(parameter: int, value: int) -> None:
    with suppress(OSError, TypeError, AttributeError):  # another C library, or none that can be asked
        ctypes.CDLL(None).mallopt(parameter, value)


def give_back_freed_memory() -> None:
    """Have the C library return to the system what was freed: a phase that needed much has ended."""
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def garbage_waits() -> Iterator[None]:
    """A block that makes objects by the hundred thousand, which stay: records of images, or torch's modules. Python's
    search for garbage in circles, which looks at all of them again and again as they grow in number, waits until it
    ends."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that this computer, or its accelerator, has no memory left."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = isinstance(error, RuntimeError) and bool(_SAID.search(str(error)))
    return said or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's own


def shortage(error: BaseException) -> str:
    """Say that memory ran out where that is why there is this exception, be it while a library is loaded; else ""."""
    unloaded = isinstance(error, ImportError | RuntimeError | OSError) and _SAID_OF_LIBRARIES.search(str(error))
    return f"memory ran out: {_first_line(error)}" if unloaded or is_out_of_memory(error) else ""


def fit_in_memory(attempt: Callable[[int], T], parts: int, most: int) -> tuple[T, int]:
    """Return what `attempt(parts)` returns, and in how many parts it had memory enough: twice as many each time.

    `attempt` begins anew when it is called again. Raises FtError when `most` parts are still too few.
    """
    import torch  # not above: this module is to explain also that torch cannot be loaded

    while True:
        try:
            return attempt(parts), parts
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if parts >= most:
                raise FtError(
                    f"memory runs out even with the smallest batches: {_first_line(error)}. Try --image-size with a "
                    "smaller number, freeze more, or another backbone"
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # not in the handler, where the traceback still holds the tensors
        parts = min(2 * parts, most)


@contextmanager
def explained_shortage(what_next: str) -> Iterator[None]:
    """Turn an exception that says that memory ran out into an FtError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise FtError(f"memory ran out: {_first_line(error)}. {what_next}") from error


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
