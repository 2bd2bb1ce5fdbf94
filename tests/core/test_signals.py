from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ft.signals import StopAsked, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom ft.signals import stop_on_signals\n"
        "with stop_on_signals(Path('run')):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stdout == ""
