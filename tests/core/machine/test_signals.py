from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ft.machine.signals import STOPPING, StopAsked, end_on_signals, held_back, stop_on_signals, stopped_while


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_the_run_only_where_it_checks(number: signal.Signals) -> None:
    with stop_on_signals(Path("run")) as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(StopAsked) as asked:
            stop.check()
    assert asked.value.signal_number == number
    assert asked.value.folder == Path("run")


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(Path("run")):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("number", "around"),
    [(signal.SIGINT, "end_on_signals()"), (signal.SIGTERM, "end_on_signals()"), (signal.SIGTERM, "nullcontext()")],
)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, around: str) -> None:
    code = (
        "import os\nfrom contextlib import nullcontext\nfrom pathlib import Path\n"
        "from ft.machine.signals import end_on_signals, stop_on_signals\n"
        f"with {around}, stop_on_signals(Path('run')):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stdout == ""


def test_where_ctrl_c_is_an_exception_the_second_one_is_too() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with stop_on_signals(Path("run")) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_no_python_code_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known, before = signal.getsignal, signal.getsignal(signal.SIGHUP)
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGHUP else known(number))
    with stop_on_signals(Path("run")):
        assert known(signal.SIGHUP) == before
    assert known(signal.SIGHUP) == before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGXCPU])
def test_what_comes_more_than_once_by_itself_ends_nothing_the_second_time(number: signal.Signals) -> None:
    with stop_on_signals(Path("run")) as stop:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        with pytest.raises(StopAsked):
            stop.check()


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals(Path("run")) as stop, end_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            stop.check()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_ends_a_command_with_what_it_was_doing() -> None:
    outer, inner = stopped_while("fetching"), stopped_while("reading images")
    with pytest.raises(StopAsked, match="stopped by SIGTERM") as asked, end_on_signals(), outer, inner:
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked.value.folder is None
    assert asked.value.__notes__ == ["while reading images"]


def test_a_signal_during_an_import_ends_the_process_since_the_import_may_swallow_it(tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\nexcept BaseException:\n    pass\n"
    )
    code = "from ft.machine.signals import end_on_signals\n"
    code += "with end_on_signals():\n    import swallows\nprint('still here')\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", "stopped by SIGTERM\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_whom", ["this thread", "another thread"])
def test_a_signal_that_is_held_back_comes_after_the_block_whichever_thread_gets_it(
    number: signal.Signals, to_whom: str
) -> None:
    ended, done = threading.Event(), False
    other = threading.Thread(target=ended.wait, daemon=True)  # one that blocks no signal, as that which draws a bar
    other.start()
    before = signal.getsignal(number)
    with end_on_signals():
        handler = signal.getsignal(number)
        with pytest.raises(StopAsked), held_back():  # noqa: PT012
            receiver = other if to_whom == "another thread" else threading.current_thread()
            assert receiver.ident is not None
            signal.pthread_kill(receiver.ident, number)
            time.sleep(0.05)
            done = True
        assert done, "it came in the middle of the block"
        assert signal.getsignal(number) == handler
    assert signal.getsignal(number) == before
    ended.set()
