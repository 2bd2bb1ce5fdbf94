"""What a service counts, as Prometheus reads it: over all of its processes where there are several."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client is told where processes put what they count."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counts of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("ft_requests", "Requests that were answered", ["path", "status"], registry=own)
        self.images = Counter("ft_images", "Images that got an answer", registry=own)
        self.errors = Counter("ft_errors", "Requests and images without an answer", ["reason"], registry=own)
        self.seconds = Histogram(
            "ft_request_seconds", "From the first byte to the answer", ["path"], registry=own, buckets=_SECONDS
        )
        self.batches = Histogram("ft_batch_images", "Images computed together", registry=own, buckets=_IMAGES)
        self.computing = Histogram("ft_batch_seconds", "Computing a batch", registry=own, buckets=_SECONDS)
        self.waiting = Gauge("ft_images_waiting", "Images in the service", registry=own, multiprocess_mode="livesum")

    def batch(self, images: int, seconds: float) -> None:
        """A batch was computed."""
        self.batches.observe(images)
        self.computing.observe(seconds)

    def text(self) -> bytes:
        """All of it, over all processes."""
        folder = os.environ.get(SHARED)
        if folder is None:
            return generate_latest(self._registry)
        _forget_the_dead(Path(folder), mark_process_dead)
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _forget_the_dead(folder: Path, forget: Callable[[int], object]) -> None:
    """What waits in a process that died waits no more."""
    for file in folder.glob("gauge_live*.db"):
        if found := re.search(r"_(\d+)\.db$", file.name):
            try:
                os.kill(int(found[1]), 0)
            except ProcessLookupError:
                with suppress(OSError):  # another process may do the same
                    forget(int(found[1]))
