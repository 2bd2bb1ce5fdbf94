"""Trials that compute the same once: the first one computes it, and the others wait and find it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ft.config.schema import Config
from ft.machine.display import Display
from ft.tracking.events import Event, PhaseStarted, RunStarted
from ft.tracking.listener import Listener
from ft.weights.lock import one_at_a_time

DECIDES = ("backbone", "weights", "freeze", "train", "lora", "from_run", "data", "split", "images", "cache", "phases")
"""Keys of the config that decide what is computed once."""
PATIENCE = 3600.0
"""Seconds after which nobody waits any more: whoever computes it may be on a machine that hangs."""


def alike(config: Config) -> str:
    """What is the same for configs by which the same is computed once."""
    plain = config.model_dump(mode="json", include=set(DECIDES))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def one_computes(config: Config, folder: Path, display: Display) -> Iterator[Listener]:
    """A block that begins once no other trial computes what this one will. It is given who listens to its run, and lets
    the next one in as soon as that is there, or nothing is to be computed."""
    with ExitStack() as held:
        with display.progress("waiting for features that another trial computes"):
            lock = folder / f".features-{alike(config)}.lock"
            held.enter_context(one_at_a_time(lock, folder / f"features-{alike(config)}", PATIENCE))

        def listen(event: Event) -> None:
            begins = isinstance(event, PhaseStarted)
            if isinstance(event, RunStarted):
                begins = event.plan.cache.promise != "off"
            if not begins:
                held.close()

        yield listen
