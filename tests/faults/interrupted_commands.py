"""Runs of the installed command on a small folder of images, which tests interrupt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

import warm_python
from conftest import TINY
from warm_python import WarmProcess

# Started in the background, a process may ignore SIGINT; from a terminal it does not.
FT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ft.cli import main; main()"
# Holds a command up at the bar called PHASE, and says so by a file.
HELD = """
import os, time
from contextlib import contextmanager
from pathlib import Path
from ft.machine.display import Bar, Display
class Held(Bar):
    def advance(self, done, text="", pace=""):
        if not Path("held").exists():
            Path("held").touch()
            time.sleep(0.3)
@contextmanager
def progress(self, title, total=None, done=0, unit="", so_far=()):
    yield Held() if title == os.environ["PHASE"] else Bar()
Display.progress = progress
"""
TESTS = Path(__file__).parents[1]


def make_images(folder: Path, number: int = 12) -> list[Path]:
    """Write `number` images of each of two classes, no two alike."""
    paths = []
    for label, tint in (("cat", 40), ("dog", 200)):
        (folder / label).mkdir(parents=True)
        for i in range(number):
            image = Image.effect_noise((24, 24), 60).convert("RGB")
            image.paste((tint, 5 * i, 100), (4, 4, 16, 16))
            image.save(folder / label / f"{i}.png")
            paths.append(folder / label / f"{i}.png")
    return paths


def start(args: Sequence[str], cwd: Path, program: str = FT, **environ: str) -> WarmProcess:
    """Start `ft` in a session of its own, so that a signal can go to it and its workers as from a terminal."""
    return warm_python.start(program, args, cwd, **environ)


def run_args(*more: str, workers: int = 0) -> list[str]:
    """`ft run` of a tiny network on ./images in ./r."""
    return [
        *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--data", "./images", "--run-dir", "r"),
        *("--image-size", "16", "--batch-size", "4", "--precision", "fp32", "--device", "cpu"),
        *("--workers", str(workers), *more),
    ]


def wait_for(happened: Callable[[], bool], process: WarmProcess, seconds: float = 60) -> None:
    """Wait until something has happened while `process` runs."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
