"""Sweeps of several workers, of which some are killed, or their parent is: every trial is counted once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import TINY
from faults.repetitions import FULL

pytestmark = pytest.mark.skipif(not FULL, reason="make faults runs it: it takes minutes")

FLAGS = (
    *("--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--workers", "0", "--epochs", "120"),
    *("--precision", "fp32", "--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
    *("--set", "report.html=false", "--pruner", "none", "--over", "lr=0.001..0.1:log", "--over", "head=linear,mlp"),
)


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ft", "sweep", *args]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    out = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=out, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def workers_of(parent: int) -> list[int]:
    """The processes that a process started, in the order in which it did."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if " --worker " in line]


def begun(folder: Path) -> list[Path]:
    return sorted(folder.glob("s/trial-*/last.pt"))


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def counted_once(folder: Path, trials: int) -> Iterator[None]:
    found = json.loads((folder / "s/results.json").read_text())["trials"]
    assert [each["number"] for each in found] == list(range(trials))
    assert {each["state"] for each in found} == {"done"}
    assert {each["epochs"] for each in found} == {120}
    assert sorted(path.name for path in folder.glob("s/trial-*")) == [each["run"] for each in found]
    for each in found:
        lines = (folder / "s" / each["run"] / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 121))
        log = (folder / f"s/logs/{each['run']}.log").read_text()
        yield None if len(re.findall(r"^epoch   1/120", log, re.MULTILINE)) == 1 else pytest.fail(f"{each} began twice")


def test_a_sweep_of_four_workers_of_which_two_are_killed_counts_every_trial_once(tmp_path: Path) -> None:
    sweep = start(tmp_path, *FLAGS, "--trials", "8", "--parallel", "4", "--run-dir", "s")
    wait_until(lambda: len(begun(tmp_path)) >= 4, sweep)
    for worker in workers_of(sweep.pid)[1:3]:
        os.kill(worker, signal.SIGKILL)
    said, _ = sweep.communicate(timeout=600)
    assert sweep.returncode == 0, said
    assert said.count("was killed by SIGKILL") == 2
    assert len(list(counted_once(tmp_path, 8))) == 8


def test_workers_whose_parent_is_killed_save_their_states_and_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = start(tmp_path, *FLAGS, "--trials", "3", "--parallel", "2", "--run-dir", "s")
    wait_until(lambda: len(begun(tmp_path)) >= 2, sweep)
    workers = workers_of(sweep.pid)
    sweep.kill()
    sweep.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{each}").exists() and "Z" not in _state(each) for each in workers):
        assert time.monotonic() < deadline, "a worker goes on without its parent"
        time.sleep(0.05)
    again = start(tmp_path, "--join", "s", "--trust-code")
    said, _ = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert len(list(counted_once(tmp_path, 3))) == 3


def test_ctrl_c_stops_all_workers_and_says_how_the_sweep_goes_on(tmp_path: Path) -> None:
    sweep = start(tmp_path, *FLAGS, "--trials", "3", "--parallel", "2", "--run-dir", "s")
    wait_until(lambda: len(begun(tmp_path)) >= 2, sweep)
    workers = workers_of(sweep.pid)
    sweep.send_signal(signal.SIGINT)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, said
    assert "Continue with: ft sweep --join s --trust-code" in said
    assert not [each for each in workers if Path(f"/proc/{each}").exists()]
    again = start(tmp_path, "--join", "s", "--trust-code", "--parallel", "2")
    said, _ = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert len(list(counted_once(tmp_path, 3))) == 3


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
