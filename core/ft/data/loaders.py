"""The processes that decode images ahead of the training loop."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from ft.data.batches import Batch, Batches, Unread
from ft.data.dataset import ImageDataset
from ft.data.order import Shuffle, epoch_batches
from ft.errors import FtError
from ft.machine.distributed import processes_here
from ft.machine.memory import return_large_blocks
from ft.machine.signals import STOPPING, StopRequest, held_back

# Workers end at once on this one. SIGTERM, which torch would send, they have to ignore.
_END = getattr(signal, "SIGUSR1", None)
_ENDING = () if _END is None else (_END,)


class Loader:
    """The batches that `batches(epoch)` lists, decoded ahead by processes that live until `close`."""

    def __init__(
        self,
        dataset: ImageDataset,
        batches: Callable[[int], list[list[int]]],
        workers: int,
        device: str,
        stop: StopRequest | None = None,
        unread: Unread | None = None,
    ) -> None:
        self._batches = batches
        self._stop = stop or StopRequest()
        self._order: list[tuple[int, list[int]]] = []
        self._unread = unread
        self._loader = _data_loader(dataset, self._order, workers, device, leave_out=unread is not None)
        self._running: Any = None
        atexit.register(self.close)

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._batches(0))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` after the first `skip`, which are not decoded.

        Raises FtError for a bad image unless somebody is told of those that are `unread`, which their batch then lacks;
        and StopAsked when a signal asks to stop while a batch is waited for. An epoch that is left early costs nothing
        but what was decoded ahead; one epoch runs at a time.
        """
        self._order[:] = [(epoch, batch) for batch in self._batches(epoch)[skip:]]
        # The first time, processes start; later, those that are there are waited for.
        guard = held_back(_ENDING) if self._running is None else self._stop.interruptible()
        if self._running is None and self._loader.num_workers:
            # Workers share the pages of this process until one of them writes there, which collecting garbage does.
            gc.collect()
            gc.freeze()
        with warnings.catch_warnings(), guard:
            _allow_any_worker_count()
            try:
                self._running = iter(self._loader)
            except OSError as error:  # not even the locks between processes fit into shared memory
                gc.unfreeze()
                raise FtError(
                    f"no loader process can be started: {error.strerror or error}, probably in /dev/shm, of which a "
                    "container has more with --shm-size 1g; --workers 0 does without"
                ) from error
        while True:
            with self._stop.interruptible():
                batch = next(self._running, None)
            if batch is None:
                return
            if isinstance(batch, FtError):
                raise batch
            some, reasons = batch
            for index, reason in reasons.items():
                assert self._unread is not None
                self._unread(index, reason)
            if some is not None:
                images, targets, indices = map(torch.as_tensor, some)
                yield images, targets, indices

    def close(self) -> None:
        """End the worker processes; no epoch can run afterwards."""
        atexit.unregister(self.close)
        # Torch does this when the last reference goes, but a traceback may hold one until the interpreter ends, which
        # then waits for workers that it told to end by the SIGTERM that they ignore.
        if hasattr(self._running, "_shutdown_workers"):
            for worker in self._running._workers:
                if _END is not None and worker.is_alive():  # it may wait for an image on a disk that does not answer
                    with suppress(ProcessLookupError):
                        os.kill(worker.pid, _END)
            self._running._shutdown_workers()
            gc.unfreeze()


@dataclass(frozen=True)
class Workers:
    """How many processes decode ahead, "auto" being as many as there is use for, and for which device."""

    number: int | Literal["auto"]
    device: str


def make_loader(
    dataset: ImageDataset,
    batch_size: int,
    workers: Workers,
    shuffle: Shuffle,
    stop: StopRequest | None = None,
    unread: Unread | None = None,
) -> Loader:
    """Return a loader of `dataset` in the order of `epoch_batches`; the same batches for any number of workers.

    A request to `stop` ends waiting for a batch. `unread` is told of each image that cannot be read.
    """

    def batches(epoch: int) -> list[list[int]]:
        return epoch_batches(len(dataset), batch_size, dataset.seed or 0, epoch, shuffle)

    number = loader_processes(workers, -(-len(dataset) // batch_size))
    return Loader(dataset, batches, number, workers.device, stop, unread)


def load_batches(
    dataset: ImageDataset, epochs: Mapping[int, list[list[int]]], workers: Workers, stop: StopRequest | None = None
) -> Loader:
    """Return a loader of the batches that are listed for each of some `epochs`."""
    number = loader_processes(workers, max(map(len, epochs.values())))
    return Loader(dataset, epochs.__getitem__, number, workers.device, stop)


@contextmanager
def explained_deaths(what_next: str) -> Iterator[None]:
    """Turn torch's RuntimeError for a loader process that died, which may come at any moment, into an FtError."""
    try:
        yield
    except RuntimeError as error:
        died = re.search(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) ([^.\n]+)", str(error))
        if died is None:
            raise
        raise FtError(
            f"loader process {died[1]} {died[2]}; often because memory ran out, or /dev/shm, of which a container has "
            f"more with --shm-size 1g. Fewer --workers need less. {what_next}"
        ) from error


def loader_processes(workers: Workers, batches: int) -> int:
    """How many loader processes there are to be. Raises FtError for any in a process that may have none."""
    if multiprocessing.current_process().daemon:  # as those of multiprocessing.Pool are
        if workers.number not in ("auto", 0):
            raise FtError("a daemonic process can start no loader processes; use --workers 0 in it")
        return 0
    if workers.number != "auto":
        return workers.number
    return auto_workers(workers.device, batches, cores=_cores(), world=processes_here())


def auto_workers(device: str, batches: int, cores: int, world: int = 1) -> int:
    """How many loader processes to use: none where there is nothing to decode ahead, few where the CPU also trains; of
    `world` processes on this machine each has as many."""
    share = max(1, cores // world)
    most = max(1, share // 4) if torch.device(device).type == "cpu" else min(8, share)
    return max(0, min(most, batches - 1))


def _data_loader(
    dataset: ImageDataset, order: list[tuple[int, list[int]]], workers: int, device: str, leave_out: bool
) -> DataLoader[Any]:
    with warnings.catch_warnings():
        _allow_any_worker_count()
        return DataLoader(
            Batches(dataset, leave_out),
            batch_size=None,  # an element of `order` is a batch already
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_as_it_is,
            pin_memory=torch.device(device).type == "cuda",
            worker_init_fn=_begin_worker,
            generator=torch.Generator(),  # it draws a number an epoch, which must not come out of the run's own
        )


def _allow_any_worker_count() -> None:
    """Whoever asks for more processes than cores has reasons, such as a slow disk."""
    warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)


def _begin_worker(worker: int) -> None:
    """Signals go to the whole process group; only the parent is to answer, and it ends its workers."""
    sys.excepthook = _without_hang_ups
    return_large_blocks()  # there may be many of these processes
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    if _END is not None:
        signal.signal(_END, _end_at_once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOPPING, *_ENDING})


def _without_hang_ups(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """A parent that stops while it is handed a batch hangs up on the thread that does so, and says itself why."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)


def _end_at_once(signal_number: int, frame: FrameType | None) -> None:
    os._exit(0)


def _as_it_is(batch: Any) -> Any:
    return batch


def _cores() -> int:
    """Cores that this process may use, which in a container or a batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
