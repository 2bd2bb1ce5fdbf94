from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from ft.machine.turns import changing_how_networks_run, running_a_network

Turn = Callable[[], AbstractContextManager[None]]


class Waits(threading.Thread):
    """A thread that has a turn, once it may."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(daemon=True)
        self.turn, self.had = turn, threading.Event()
        self.start()

    def run(self) -> None:
        with self.turn():
            self.had.set()


def test_networks_run_beside_each_other() -> None:
    with running_a_network():
        assert Waits(running_a_network).had.wait(5)


def test_no_network_runs_while_that_is_changed_and_nothing_is_changed_while_one_runs() -> None:
    for holds, waits in (
        (changing_how_networks_run, running_a_network),
        (running_a_network, changing_how_networks_run),
    ):
        with holds():
            other = Waits(waits)
            assert not other.had.wait(0.05)
        assert other.had.wait(5)


def test_who_changes_something_waits_for_no_network_that_comes_later() -> None:
    with running_a_network():
        changes = Waits(changing_how_networks_run)
        assert not changes.had.wait(0.05)
        later = Waits(running_a_network)
        assert not later.had.wait(0.05)
    assert changes.had.wait(5)
    assert later.had.wait(5)


def _have_a_turn() -> None:
    with changing_how_networks_run():
        pass


def test_a_process_that_starts_meanwhile_has_turns_of_its_own() -> None:
    with running_a_network():
        child = multiprocessing.get_context("fork").Process(target=_have_a_turn)
        child.start()
        child.join(10)
    assert child.exitcode == 0
