"""A run in several processes, of which one is killed or hangs: the others end, say which, and the run goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from core.test_following import SMALL
from faults.repetitions import FULL
from ft.run.folder import Run
from processes import figures, run_all, start_all

PROGRAM = (Path(__file__).parent / "lost_processes.py").read_text(encoding="utf-8")
HOW = ["--freeze", "until:layer2", "--augment", "none", "--optimizer", "sgd", "--cache", "exact"]
HOW += ["--set", "machine.wait=4"]
PLACES = [
    ("starting", 1),
    ("reading images", 1),
    ("comparing plans", 1),
    ("proving", 0),
    ("computing training features", 1),
    ("epoch 1, step 3", 1),
    ("epoch 2, step 3", 0),
    ("validation after epoch 1", 1),
    ("saving", 0),
]


@pytest.mark.parametrize(("place", "rank"), PLACES if FULL else [("epoch 2, step 3", 1)])
def test_a_process_that_is_killed_ends_the_run_which_goes_on_in_one(place: str, rank: int, tmp_path: Path) -> None:
    arguments = [str(int(signal.SIGKILL)), str(rank), place, *SMALL, *HOW, "--run-dir", "run"]
    started = start_all(arguments, 2, tmp_path, PROGRAM, FT_CACHE=str(tmp_path / "cache"))
    began = time.monotonic()
    said = [process.communicate(timeout=60) for process in started]
    assert time.monotonic() - began < 45
    assert started[rank].returncode == -signal.SIGKILL
    assert started[1 - rank].returncode == 2
    lost = said[1 - rank][1]
    assert f"process {rank} of 2" in lost or "found no other process" in lost or "process 0" in lost, lost
    assert "Traceback" not in lost
    run_all([*SMALL, *HOW, "--run-dir", "whole"], 1, tmp_path)
    again = tmp_path / "run" / "config.yaml"
    run_all(
        ["run", "--resume", "run", "--trust-code"] if again.exists() else [*SMALL, *HOW, "--run-dir", "run"],
        1,
        tmp_path,
    )
    for one, other in zip(figures(tmp_path / "whole"), figures(tmp_path / "run"), strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


@pytest.mark.skipif(not FULL, reason="make faults runs it: the others wait")
def test_a_process_that_hangs_is_named_once_the_others_have_waited(tmp_path: Path) -> None:
    arguments = [str(int(signal.SIGSTOP)), "1", "epoch 2, step 2", *SMALL, *HOW, "--run-dir", "run"]
    started = start_all(arguments, 2, tmp_path, PROGRAM)
    try:
        _, said = started[0].communicate(timeout=60)
    finally:
        os.kill(started[1].pid, signal.SIGKILL)
        started[1].communicate()
    assert started[0].returncode == 2
    assert "process 1 of 2" in said
    assert "last seen at: " in said
    assert "does not answer" in said
    assert "ft run --resume" in said
    assert Run(tmp_path / "run").read_checkpoint("last").position.epoch == 1
