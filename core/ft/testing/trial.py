"""What a check gets, and what it raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft.errors import FtError
from ft.extension.installed import Component, Plugin, implementation, read_settings

if TYPE_CHECKING:
    from ft.testing.served import WeightFile

Check = Callable[["Trial"], None]
"""Raises NotSo when a promise is broken and NotApplicable when it cannot be tried."""


class NotSo(AssertionError):
    """What a check promises is not so; the message says what is, and what to do."""


class NotApplicable(Exception):
    """The check says nothing about this component; the message says why."""


@dataclass(frozen=True)
class Trial:
    """One component, and what to try it with.

    `reference` is how another process finds it. `plugin` is None for a component that is not packaged. `arguments` are
    those to try: of a strategy or source, or, for a provider, names of models. `settings` are mappings, each tried.
    `guessed` says that nobody chose the arguments, so one that does not fit here proves nothing.
    `folder` is empty and the check's to write to. `worker` runs a function in a process that was spawned.
    """

    component: Component
    reference: str
    plugin: Plugin | None
    folder: Path
    worker: Executor
    arguments: tuple[str | None, ...] = (None,)
    settings: tuple[Mapping[str, Any], ...] = ({},)
    weight_file: WeightFile | None = None
    guessed: bool = False

    @property
    def label(self) -> str:
        return f"{self.component.kind.noun} '{self.component.name}'"

    def call(self, name: str, *args: Any) -> Any:
        """Call one of the component's functions."""
        return implementation(self.component, name)(*args)

    def unfit(self, argument: str | None, error: FtError) -> Exception:
        """What to raise when the component refuses an argument that should fit."""
        if self.guessed:
            return NotApplicable(f"it has nothing to be tried with here: {error}")
        return NotSo(f"{self.label} refuses {argument!r}: {error}")

    def read_settings(self) -> Iterator[Any]:
        """The settings to try, checked as ft checks a user's."""
        for values in self.settings:
            yield read_settings(self.component, values, self.component.kind.name)


def expect(condition: object, message: str) -> None:
    """Raise NotSo unless `condition`."""
    if not condition:
        raise NotSo(message)
