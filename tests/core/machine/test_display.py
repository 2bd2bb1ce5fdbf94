"""What people see while ft works."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.machine.transfer import Transfer


@pytest.mark.parametrize(("done", "shown"), [(0, "0/15"), (5, "5/15")])
def test_a_bar_begins_where_the_work_does(done: int, shown: str) -> None:
    screen = io.StringIO()
    display = Display(err=Console(file=screen, force_terminal=True, width=80))
    with display.progress("epoch 2/3", 15, done):
        pass
    assert shown in screen.getvalue()


@pytest.mark.parametrize(
    ("width", "encoding", "curve"), [(80, "utf-8", "▁▃▅▄▇█"), (120, "utf-8", "▁▃▅▄▇█"), (80, "ascii", "_.-.''")]
)
def test_a_bar_says_what_it_counts_how_fast_and_how_it_went_and_fits_80_columns(
    width: int, encoding: str, curve: str
) -> None:
    raw = io.BytesIO()
    screen = Console(
        file=io.TextIOWrapper(raw, encoding, errors="replace"), force_terminal=True, width=width, color_system=None
    )
    with Display(err=screen).progress("epoch  7/120", 36_000, 1234, "steps", [0.5, 0.6, 0.7, 0.65, 0.8, 0.85]) as bar:
        bar.advance(1235, "loss 0.123", "1,412 img/s")
        time.sleep(0.25)
    screen.file.flush()
    assert re.search(
        rf"epoch  7/120 +[━-]* +1235/36000 steps \S+ (so far|left) loss 0.123 1,412 img/s {re.escape(curve)} *[\r\n]",
        raw.getvalue().decode(encoding),
    )


def test_how_fast_it_goes_and_how_it_went_is_for_people_who_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    display, said = piped(monkeypatch)
    with display.progress("epoch 2/3", 15, unit="steps", so_far=[1, 2, 3]) as bar:
        bar.advance(5, "loss 0.123", "1,412 img/s")
        lines_of(said(), lambda: len(said()) >= 1)
    assert re.fullmatch(r"epoch 2/3 5/15 steps, \S+ (so far|left), loss 0.123", said()[0])


def lines_of(said: list[str], enough: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not enough():
        assert time.monotonic() < deadline, said
        time.sleep(0.002)


def piped(monkeypatch: pytest.MonkeyPatch, every: float = 0.01) -> tuple[Display, Callable[[], list[str]]]:
    monkeypatch.setattr("ft.machine.progress.EVERY", every)
    screen = io.StringIO()
    return Display(err=Console(file=screen, width=30)), lambda: screen.getvalue().splitlines()


def test_work_that_is_soon_done_says_nothing_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    display, said = piped(monkeypatch, every=10)
    with display.progress("epoch 1/3", 15) as bar:
        bar.advance(3)
    assert said() == []
    assert threading.active_count() == 1 or "progress" not in {thread.name for thread in threading.enumerate()}


def test_without_a_terminal_long_work_says_how_far_it_is_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    display, said = piped(monkeypatch)
    with display.progress("training features", 1968, 100, unit="images") as bar:
        lines_of(said(), lambda: "training features 100/1968 images, 0:00 so far" in said())
        for done in range(200, 600, 100):
            time.sleep(0.01)
            bar.advance(done, "loss 0.3")
        lines_of(
            said(),
            lambda: any(
                re.fullmatch(r"training features 500/1968 images, 0:0\d left, loss 0.3", line) for line in said()
            ),
        )
        bar.advance(1968)
    before = len(said())
    time.sleep(0.05)
    assert len(said()) == before


def test_work_whose_length_is_not_known_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    display, said = piped(monkeypatch)
    with display.progress("proof"):
        lines_of(said(), lambda: "proof, 0:00 so far" in said())
        with display.progress("proof images", 7):
            lines_of(said(), lambda: "proof images 0/7, 0:00 so far" in said())


def test_a_download_says_what_is_here_and_that_files_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    display, said = piped(monkeypatch)
    with display.download() as show:
        lines_of(said(), lambda: "checking weights, 0:00 so far" in said())
        for done in (1_000_000, 2_000_000, 3_000_000):
            time.sleep(0.01)
            show(Transfer("[b]\x1b.pth", done, 553_400_000, 1e6))
        assert "fetching [b]\\x1b.pth" in said()
        lines_of(said(), lambda: any(line.startswith("[b]\\x1b.pth 3.0 of 553.4 MB, ") for line in said()))


def test_a_terminal_that_cannot_draw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft.machine.progress.EVERY", 0.01)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None, _environ={"TERM": "dumb"})
    with Display(err=console).progress("proof", 3):
        lines_of([], lambda: "proof 0/3, 0:00 so far" in screen.getvalue())


def test_bars_within_bars_are_drawn_together_and_are_gone_afterwards() -> None:
    screen = io.StringIO()
    display = Display(err=Console(file=screen, force_terminal=True, width=80))
    with display.progress("outer"):
        with display.progress("[inner]", 8, 2), display.progress("third", 3):
            pass
        display.say("a [line]")
    assert "[inner]" in screen.getvalue()
    assert "2/8" in screen.getvalue()
    assert "a [line]" in screen.getvalue()
    shown = len(screen.getvalue())
    display.say("afterwards")
    assert screen.getvalue()[shown:] == "\x1b[2mafterwards\x1b[0m\n"  # and nothing is drawn around it


def test_what_is_left_of_a_bar_can_be_seen_on_a_black_screen() -> None:
    screen = io.StringIO()
    display = Display(err=Console(file=screen, force_terminal=True, width=80, color_system="truecolor"))
    with display.progress("work", 10):
        pass
    codes = set(re.findall(r"\x1b\[([\d;]+)m━", screen.getvalue()))
    assert codes
    assert codes <= {"38;5;244", "37"}  # a grey in the middle, or what eight colours have for it


def test_an_interrupt_says_what_was_done() -> None:
    with pytest.raises(StopAsked) as stopped, Display(err=Console(file=io.StringIO())).progress("proof"):
        raise StopAsked(2, None)
    assert stopped.value.__notes__ == ["while proof"]
