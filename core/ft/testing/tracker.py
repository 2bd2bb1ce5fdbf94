"""Checks for trackers."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from ft.errors import FtError
from ft.extension.installed import Component, implementation
from ft.testing.listing import listing_it_loads_no_library
from ft.testing.runs import told_by_run
from ft.testing.trial import Check, Trial, expect
from ft.tracking.events import Event


def it_takes_every_event(trial: Trial) -> None:
    """It is told of runs that fail, that go on, and that fit a head, of each event once, and raises nothing."""
    for number, settings in enumerate(trial.read_settings()):
        folder = trial.folder / f"run-{number}"
        _tell(trial, settings, told_by_run(folder, fails=True))
        _tell(trial, settings, told_by_run(folder, before=1))
        _tell(trial, settings, told_by_run(trial.folder / f"fit-{number}", penalties=True))


def random_numbers_stay(trial: Trial) -> None:
    """Nobody's random numbers change because somebody listens: a tracker draws from generators of its own."""
    for number, settings in enumerate(trial.read_settings()):
        before = _random_states()
        _tell(trial, settings, told_by_run(trial.folder / f"run-{number}"))
        moved = [name for (name, was), (_, now) in zip(before, _random_states(), strict=True) if was != now]
        expect(not moved, f"{trial.label} draws from the generator of {', '.join(moved)}; make one: random.Random()")


def it_keeps_to_the_run_s_folder(trial: Trial) -> None:
    """With the settings that are usual, nothing is written to the home or to the folder in which ft is called."""
    home, here = trial.folder / "home", trial.folder / "here"
    for place in (home, here):
        place.mkdir()
    homes = ("HOME", "USERPROFILE", *(f"XDG_{kind}_HOME" for kind in ("CACHE", "CONFIG", "DATA")))
    with patch.dict(os.environ, dict.fromkeys(homes, str(home))), contextlib.chdir(here):
        _tell(trial, next(trial.read_settings()), told_by_run(trial.folder / "run"))
    written = sorted(str(path.relative_to(trial.folder)) for place in (home, here) for path in place.rglob("*"))
    expect(not written, f"{trial.label} writes {', '.join(written)}; write into the folder of RunStarted")


def _tell(trial: Trial, settings: Any, events: Sequence[Event]) -> None:
    try:
        listen = trial.call("track", settings)
    except FtError as error:
        raise trial.unfit(None, error) from None
    expect(callable(listen), f"{trial.label}: track returned {listen!r}; it returns what is called with each event")
    for event in events:
        answer = listen(event)
        expect(answer is None, f"{trial.label} answers {answer!r} to {type(event).__name__}; nobody reads that")


def _random_states() -> list[tuple[str, Any]]:
    import numpy as np
    import torch

    return [
        ("random", random.getstate()),
        ("numpy", pickle.dumps(np.random.get_state())),
        ("torch", torch.get_rng_state().numpy().tobytes()),
    ]


def answer(component: Component, argument: None, settings: Any) -> list[str]:
    """The names of the events of a run that it was told of."""
    with _folder() as folder:
        events = told_by_run(folder / "run")
        listen = implementation(component, "track")(settings)
        for event in events:
            listen(event)
    return [type(event).__name__ for event in events]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:  # a library may not have let go of its files
        yield Path(name)


CHECKS: tuple[Check, ...] = (
    it_takes_every_event,
    listing_it_loads_no_library,
    random_numbers_stay,
    it_keeps_to_the_run_s_folder,
)
