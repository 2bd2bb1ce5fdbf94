"""What people see while ft works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ft.display import Display


@pytest.mark.parametrize(("done", "shown"), [(0, "0/15"), (5, "5/15")])
def test_a_bar_begins_where_the_work_does(done: int, shown: str) -> None:
    screen = io.StringIO()
    display = Display(err=Console(file=screen, force_terminal=True, width=80))
    with display.progress("epoch 2/3", 15, done):
        pass
    assert shown in screen.getvalue()


def test_without_a_terminal_there_is_no_bar() -> None:
    screen = io.StringIO()
    with Display(err=Console(file=screen, width=80)).progress("epoch 1/3", 15) as bar:
        bar.advance(3)
    assert screen.getvalue() == ""
