"""A forked process is what `python -c` would be."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

import warm_python

SAYS = """
import atexit, os, sys
atexit.register(print, "the end")
print(sys.argv, os.getcwd(), os.environ["MARK"], os.getsid(0) == os.getpid(), __name__, sys.stdin.read() == "")
print("bad", file=sys.stderr)
sys.exit(3)
"""


def test_a_program_has_its_own_arguments_folder_environment_session_and_output(tmp_path: Path) -> None:
    process = warm_python.start(SAYS, ["a", "b"], tmp_path, MARK="here")
    assert process.communicate() == (f"['-c', 'a', 'b'] {tmp_path} here True __main__ True\nthe end\n", "bad\n")
    assert process.returncode == 3
    assert "MARK" not in os.environ


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [("1 / 0", 1, "ZeroDivisionError"), ("import os; os.kill(os.getpid(), 9)", -9, ""), ("", 0, "")],
)
def test_it_ends_as_a_python_of_its_own(program: str, code: int, said: str, tmp_path: Path) -> None:
    process = warm_python.start(program, [], tmp_path)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert said in err


def test_it_can_be_waited_for_and_stopped(tmp_path: Path) -> None:
    process = warm_python.start("import time; time.sleep(600)", [], tmp_path)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGTERM)
    assert (process.communicate(), process.returncode) == (("", ""), -signal.SIGTERM)
