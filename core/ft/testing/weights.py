"""Checks for weight sources, with a file that the kit made and a cache of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ft.errors import FtError
from ft.extension.installed import Component, implementation
from ft.extension.records import WeightEntry
from ft.testing.served import WeightFile
from ft.testing.trial import Check, NotApplicable, NotSo, Trial, expect
from ft.weights.cache import Cache

ODD_ARGUMENTS = (None, "", "no-such-thing", "./no/such/place")


def fetch_returns_the_file(trial: Trial) -> None:
    """A Path of a file with exactly the published content."""
    wanted = _file(trial).content
    for path in _fetched(trial, _cache(trial)):
        expect(isinstance(path, Path), f"{trial.label} returned {path!r}; it returns a Path")
        expect(path.read_bytes() == wanted, f"{trial.label} returned {path}, which is another file")


def fetching_again_changes_nothing(trial: Trial) -> None:
    """The second fetch returns the same file, asks no server and needs none."""
    file, cache = _file(trial), _cache(trial)
    once, asked = list(_fetched(trial, cache)), len(file.asked)
    cache.offline = "FT_OFFLINE=1"
    again = list(_fetched(trial, cache))
    expect(once == again, f"{trial.label} returned {once} and then {again}")
    expect(len(file.asked) == asked, f"{trial.label} fetches again what it has; use cache.find or cache.download")


def another_file_is_refused(trial: Trial) -> None:
    """A file whose digest is not the published one is an FtError, and the cache holds nothing of it."""
    file, cache = _file(trial), _cache(trial)
    entry = dataclasses.replace(file.entry, sha256="0" * 64)
    for settings in trial.read_settings():
        for argument in trial.arguments:
            try:
                path = trial.call("fetch", entry, argument, settings, cache)
            except FtError:
                left = _content(cache)
                expect(not left, f"{trial.label} leaves {left} behind")
            else:
                raise NotSo(f"{trial.label} returned {path} unverified; use cache.verify or cache.download")


def without_a_network_it_says_so(trial: Trial) -> None:
    """Offline, and asked for what nobody has: an FtError, no traceback, and nothing left in the cache."""
    entry = WeightEntry("ABSENT", "absent.pth", url="http://127.0.0.1:9/absent.pth", sha256="0" * 64)
    arguments = (*ODD_ARGUMENTS, *(trial.arguments if trial.weight_file else ()))
    for settings in trial.read_settings():
        for argument in arguments:
            cache = _cache(trial, offline="FT_OFFLINE=1")
            try:
                path = trial.call("fetch", entry, argument, settings, cache)
            except FtError as error:
                expect(str(error).strip(), f"{trial.label} raises an FtError that says nothing")
            except Exception as error:
                raise NotSo(
                    f"{trial.label} raises {type(error).__name__} ({error}) for {argument!r}; raise ft.FtError"
                ) from error
            else:
                raise NotSo(f"{trial.label} returned {path} for weights that do not exist")
            expect(not _content(cache), f"{trial.label} leaves {_content(cache)} behind")


def _file(trial: Trial) -> WeightFile:
    if trial.weight_file is None:
        raise NotApplicable("it takes a test of its own to give it a file (ft.testing.WeightSourceConformance)")
    return trial.weight_file


def _cache(trial: Trial, offline: str = "") -> Cache:
    """An empty cache that gives up at once."""
    return Cache(trial.folder / "weights", trial.folder / "records", offline, pauses=())


def _content(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir()) if cache.folder.is_dir() else []


def _fetched(trial: Trial, cache: Any) -> Iterator[Path]:
    for settings in trial.read_settings():
        for argument in trial.arguments:
            yield trial.call("fetch", _file(trial).entry, argument, settings, cache)


def answer(component: Component, argument: str | None, settings: Any) -> str:
    """The name of the function that fetches."""
    return str(implementation(component, "fetch").__qualname__)


CHECKS: tuple[Check, ...] = (
    fetch_returns_the_file,
    fetching_again_changes_nothing,
    another_file_is_refused,
    without_a_network_it_says_so,
)
