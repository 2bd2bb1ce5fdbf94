"""Of trials that compute the same once, the first computes it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ft.config.schema import Config
from ft.machine.python_display import PythonDisplay
from ft.tracking.events import FeaturesReady
from ft.tuning.waiting import one_computes

MakeConfig = Callable[..., Config]


class Second(threading.Thread):
    """Another trial, in a thread of its own, that says when it is let in."""

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__(daemon=True)
        self._config, self._folder, self.let_in = config, folder, threading.Event()

    def run(self) -> None:
        with one_computes(self._config, self._folder, PythonDisplay()):
            self.let_in.set()


def test_who_computes_the_same_waits_until_it_is_there(tiny_config: MakeConfig, tmp_path: Path) -> None:
    first, second = tiny_config(freeze="all", training__lr=0.1), tiny_config(freeze="all", training__lr=0.2)
    with one_computes(first, tmp_path, PythonDisplay()) as tell:
        other = Second(second, tmp_path)
        other.start()
        assert not other.let_in.wait(0.3)
        tell(FeaturesReady(24, 24, 0.1))
        assert other.let_in.wait(20)
    other.join(20)


def test_who_computes_something_else_does_not_wait(tiny_config: MakeConfig, tmp_path: Path) -> None:
    with one_computes(tiny_config(freeze="all"), tmp_path, PythonDisplay()):
        other = Second(tiny_config(freeze="none"), tmp_path)
        other.start()
        assert other.let_in.wait(20)
    other.join(20)
