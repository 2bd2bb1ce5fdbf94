"""Several workers on this machine: processes that join the sweep, each with its share of the cores, and of the GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft.errors import FtError
from ft.machine.display import Display
from ft.tuning.folder import Sweep
from ft.tuning.study import Study
from ft.tuning.work import LOOKS, Progress

STORAGE = "FT_SWEEP_STORAGE"
"""The environment variable that has the address of a database, where others must not read it on the command line."""
AGAIN = 2
"""How often a worker that was killed is started again."""
PATIENCE = 120.0
"""Seconds that workers have to save the states of their trials, once they were asked to stop."""


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    started: int = 1


@dataclass(frozen=True)
class Crew:
    """How many workers there are, what each is told on its command line, and the GPUs that they share."""

    count: int
    words: Sequence[str] = ()
    gpus: Sequence[str] = ()


def share_of(number: int, count: int, cores: Sequence[int]) -> tuple[int, ...]:
    """The cores of one of `count` workers, from 0; all of them, where there are fewer cores than workers.

    >>> share_of(0, 2, [0, 1, 2, 3]), share_of(1, 2, [0, 1, 2, 3]), share_of(2, 3, [0])
    ((0, 1), (2, 3), (0,))
    """
    each = len(cores) // count
    return tuple(cores[number * each : (number + 1) * each]) if each else tuple(cores)


def environment_of(number: int, crew: Crew, cores: Sequence[int], before: Mapping[str, str]) -> dict[str, str]:
    """What the environment of a worker says: how many threads it computes with, and which GPU is its own.

    >>> environment_of(1, Crew(2, gpus=("0", "1")), [0, 1, 2, 3], {})
    {'OMP_NUM_THREADS': '2', 'CUDA_VISIBLE_DEVICES': '1'}
    """
    threads = {"OMP_NUM_THREADS": str(max(1, len(cores) // crew.count))}
    own = {"CUDA_VISIBLE_DEVICES": crew.gpus[number % len(crew.gpus)]} if len(crew.gpus) > 1 else {}
    return {**threads, **before, **own}


def keep_to_share(number: int, count: int) -> None:
    """Have this process, and those that it starts, use its share of the cores, where the system can be asked to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share_of(number, count, sorted(os.sched_getaffinity(0))))


def stop_with_parent() -> None:
    """Ask this process to stop, its state saved, once the process that started it is gone: its end of a pipe is."""

    def wait() -> None:
        while os.read(0, 1024):  # past sys.stdin, whose lock a process must have to end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def run_workers(sweep: Sweep, study: Study, crew: Crew, progress: Progress) -> None:
    """Run trials in several processes until all that are wanted have ended.

    A worker that is killed is started again, a few times, and its trial goes on where it was. Raises FtError where all
    workers ended and trials are left, with what the last one said; and whatever ends this process, once the workers
    have saved their states.
    """
    workers = [_Worker(number, _start(number, sweep, crew)) for number in range(crew.count)]
    try:
        while any(each.process.poll() is None for each in workers):
            progress.look(study.trials(), f"{sum(each.process.poll() is None for each in workers)} workers")
            for each in workers:
                _look_after(each, sweep, crew, progress.display)
            time.sleep(LOOKS / 2)
    except BaseException:
        _stop(workers)
        raise
    finally:
        for each in workers:
            if each.process.stdin is not None:
                each.process.stdin.close()
    trials = study.trials()
    progress.look(trials)
    if failed := [each for each in workers if each.process.returncode]:
        raise FtError(_last_words(sweep.log(_name(failed[-1].number)), sweep.found(trials).go_on()))


def _look_after(worker: _Worker, sweep: Sweep, crew: Crew, display: Display) -> None:
    """Start a worker again that was killed."""
    code = worker.process.poll()
    if code is None or code >= 0 or worker.started > AGAIN:
        return
    display.warn(f"worker {worker.number + 1} was killed by {signal.Signals(-code).name}; its trial goes on elsewhere, "
                 "and another worker takes its place")  # fmt: skip
    if worker.process.stdin is not None:
        worker.process.stdin.close()
    worker.process, worker.started = _start(worker.number, sweep, crew), worker.started + 1


def _start(number: int, sweep: Sweep, crew: Crew) -> subprocess.Popen[bytes]:
    log = sweep.log(_name(number))
    log.parent.mkdir(parents=True, exist_ok=True)
    own = ["--join", str(sweep.path), "--worker", f"{number}/{crew.count}", *crew.words]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    storage = {} if sweep.storage is None else {STORAGE: sweep.storage}
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "ft", "sweep", *own],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env={**environment_of(number, crew, cores, os.environ), **storage},
            start_new_session=True,  # Ctrl-C comes to this process, which asks them to stop
        )


def _stop(workers: Sequence[_Worker]) -> None:
    for each in workers:
        if each.process.poll() is None:
            each.process.terminate()
    ends = time.monotonic() + PATIENCE
    for each in workers:
        try:
            each.process.wait(max(0.1, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


def _name(number: int) -> str:
    return f"worker-{number + 1}"


def _last_words(log: Path, again: str) -> str:
    """What a worker said at last, which is why it ended."""
    text = log.read_text(encoding="utf-8", errors="replace")
    _, error, said = text.rpartition("error: ")
    go_on = f"Its log is {log}; the sweep goes on with: {again}"
    return f"{said.strip()}\n{go_on}" if error else f"a worker ended. {go_on}"
