"""Runs a command and measures it from outside: seconds of the whole process, and memory while it runs.

Nothing else that uses torch may run on the machine meanwhile: pages that strangers map, too, count in part only.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY = 1.0  # reading smaps_rollup holds up whoever allocates meanwhile
MB = 1e6


class Failed(Exception):
    """The command ended with an error; says what it wrote last."""


@dataclass(frozen=True)
class Measured:
    """`samples` are (time.time(), bytes): proportional set sizes (a page that several map counts once in all) of the
    process and its descendants together. There are none where /proc does not tell."""

    seconds: float
    stdout: str
    samples: list[tuple[float, int]]

    def peak_mb(self, begin: float = 0.0, end: float = float("inf")) -> float | None:
        """The most memory between two moments."""
        return max((size / MB for moment, size in self.samples if begin <= moment <= end), default=None)


def measure(command: Sequence[str | Path], folder: Path, environ: Mapping[str, str]) -> Measured:
    """Run `command` to its end. What it says goes into files in `folder`. Raises Failed."""
    samples: list[tuple[float, int]] = []
    done = threading.Event()
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, env=dict(environ))
        sampler = threading.Thread(target=_sample, args=(process.pid, samples, done))
        sampler.start()
        try:
            code = process.wait()
            seconds = time.perf_counter() - started
        finally:
            process.kill()
            done.set()
            sampler.join()
        out.seek(0)
        err.seek(0)
        if code != 0:
            raise Failed(f"{command[1]} ended with {code}: " + " | ".join(err.read().strip().splitlines()[-3:]))
        return Measured(seconds, out.read(), samples)


def memory_of_torch(folder: Path, environ: Mapping[str, str]) -> float | None:
    """Megabytes that a process takes which has imported torch and does nothing."""
    return measure([sys.executable, "-c", "import time, torch; time.sleep(1)"], folder, environ).peak_mb()


def _sample(root: int, samples: list[tuple[float, int]], done: threading.Event) -> None:
    while not done.wait(EVERY):
        size = sum(_proportional_size(pid) for pid in _family(root))
        if size:
            samples.append((time.time(), size))


def _family(root: int) -> list[int]:
    found = [root]
    for pid in found:
        try:
            lists = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
        except OSError:  # it has ended
            continue
        found += [int(child) for text in lists for child in text.split()]
    return found


def _proportional_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
