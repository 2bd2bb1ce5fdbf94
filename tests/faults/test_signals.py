"""SIGINT and SIGTERM in every phase: the state is saved, the way on is said, workers are silent, and it takes seconds.

A phase is met by stopping at its progress bar (which a program of the test's replaces) or by having whoever reads an
image wait for a pipe that nobody writes to, as for a file server that does not answer.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from faults.interrupted_commands import FT, HELD, TESTS, make_images, run_args, start, wait_for
from faults.repetitions import FULL
from ft.run.checkpoints import load_checkpoint

# Holds the run up at whatever writes the file called PHASE.
HELD_SAVING = """
import os, time
from pathlib import Path
import ft.machine.files
replace = os.replace
def held(source, target):
    if Path(target).name == os.environ["PHASE"] and not Path("held").exists():
        Path("held").touch()
        time.sleep(0.3)
    replace(source, target)
os.replace = held
"""
# Once there is the pipe "waits", no image is read any more.
SLOW_DISK = """
from pathlib import Path
import ft.data.pictures
read = ft.data.pictures.read_bytes
def waiting(path, most):
    if Path("waits").exists():
        open("waits")
    return read(path, most)
ft.data.pictures.read_bytes = waiting
"""
FROZEN = ["--freeze", "all"]  # then validation is on kept features, and the first bar "evaluating" is the final test's
PHASES = {
    "training features": (HELD, FROZEN),
    "validation features": (HELD, FROZEN),
    "epoch 1/3": (HELD, []),
    "epoch 2/3": (HELD, []),
    "evaluating": (HELD, []),
    "final test": (HELD.replace('os.environ["PHASE"]', '"evaluating"'), FROZEN),
    "best.pt": (HELD_SAVING, []),
    "last.pt": (HELD_SAVING, []),
    "frozen.safetensors": (HELD_SAVING, []),
}
USUAL = [("training features", 2), ("final test", 0)]
CASES = [(phase, workers) for phase in PHASES for workers in (0, 2)] if FULL else USUAL


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "images"
    make_images(folder)
    return folder


@pytest.fixture(scope="module")
def whole(images: Path) -> Callable[[list[str]], dict[str, torch.Tensor]]:
    """The weights of a run that nobody stopped."""

    @cache
    def run(name: str, flags: tuple[str, ...]) -> dict[str, torch.Tensor]:
        process = start(run_args(*flags, "--run-dir", name), images.parent)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return load_file(images.parent / name / "model.safetensors")

    return lambda flags: run("-".join(flags).replace("/", "_"), tuple(flags))


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT] if FULL else [signal.SIGINT])
@pytest.mark.parametrize(("phase", "workers"), CASES)
def test_a_signal_in_any_phase_saves_and_says_how_to_go_on(
    phase: str,
    workers: int,
    signal_number: signal.Signals,
    images: Path,
    whole: Callable[[list[str]], dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    (tmp_path / "images").symlink_to(images)
    program, more = PHASES[phase]
    flags = ["--epochs", "3", "--test-fraction", "0.2", *more]
    args = run_args(*flags, workers=workers)
    process = start(args, tmp_path, program + FT, PHASE=phase, FT_CACHE=str(tmp_path / "cache"))
    wait_for((tmp_path / "held").exists, process)
    asked = time.monotonic()
    os.killpg(process.pid, signal_number)  # as Ctrl-C and batch systems do: to the workers, too
    _, err = process.communicate(timeout=30)
    print(f"\n{signal_number.name}, {phase}, {workers} workers: ended after {time.monotonic() - asked:.2f} s")
    assert process.returncode == 128 + signal_number, err
    assert f"stopped by {signal_number.name}; its state is saved. Continue with: ft run --resume" in err
    assert "Traceback" not in err
    if phase == "final test":
        assert (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") == 3

    again = start(["run", "--resume", "r", "--trust-code"], tmp_path)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    ours, theirs = load_file(tmp_path / "r" / "model.safetensors"), whole(flags)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not list((tmp_path / "r").glob(".*"))


@pytest.mark.parametrize("workers", [0, 2] if FULL else [2])
def test_a_run_that_waits_for_a_disk_that_does_not_answer_stops(workers: int, tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    process = start(run_args("--epochs", "500", workers=workers), tmp_path, SLOW_DISK + FT)
    wait_for((tmp_path / "r" / "last.pt").exists, process)
    os.mkfifo(tmp_path / "waits")
    time.sleep(1)  # what was decoded ahead is used up
    asked = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    print(f"\nwaiting for data, {workers} workers: ended after {time.monotonic() - asked:.2f} s")
    assert process.returncode == 128 + signal.SIGTERM
    assert "ft run --resume" in err
    assert "Traceback" not in err


def test_a_terminal_that_goes_away_saves_as_sigterm_does(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    program = f"import sys; sys.path.insert(0, {str(TESTS)!r}); {FT}"
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, "-c", program, *run_args("--epochs", "5000", workers=2)], environ)
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "best.pt").exists():
        assert time.monotonic() < deadline
        select.select([terminal], [], [], 0.05)
        with suppress(OSError):
            os.read(terminal, 10_000)
    workers = Path(f"/proc/{child}/task/{child}/children").read_text().split()
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert load_checkpoint(tmp_path / "r" / "last.pt").position.epoch >= 1
    assert len(workers) == 2
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGXCPU] if FULL else [signal.SIGXCPU])
def test_other_signals_that_ask_to_stop_save_too(number: signal.Signals, tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    process = start(run_args("--epochs", "500"), tmp_path, HELD + FT, PHASE="epoch 2/500")
    wait_for((tmp_path / "held").exists, process)
    os.killpg(process.pid, number)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert f"stopped by {number.name}; its state is saved. Continue with: ft run --resume" in err
    assert load_checkpoint(tmp_path / "r" / "last.pt").position.epoch == 1


def test_a_second_signal_ends_the_run_at_once(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    process = start(run_args("--epochs", "10"), tmp_path, HELD.replace("0.3", "600") + FT, PHASE="epoch 1/10")
    wait_for((tmp_path / "held").exists, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=2)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err


def test_a_dead_loader_process_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    process = start(run_args("--epochs", "500", workers=2), tmp_path)
    wait_for((tmp_path / "r" / "last.pt").exists, process)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert re.search(rf"error: loader process {workers[0]} (is killed by signal: Killed|exited unexpectedly)", err), err
    assert "ft run --resume" in err
    assert "Traceback" not in err
    again = start(["run", "--resume", "r", "--trust-code"], tmp_path)
    epochs = (tmp_path / "r" / "metrics.jsonl").read_text().count("\n")
    wait_for(lambda: (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") > epochs, again)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=30)
