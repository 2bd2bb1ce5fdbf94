"""Dead loader processes where there is no run: one line names them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.slow_images import FT, HELD, make_images, start, wait_for
from ft.config import Config
from ft.display import Display
from ft.finetune import finetune
from ft.plugins import Plugins

# An image that a disk does not give; a digest of the file can be had.
NO_ANSWER = """
import time
from pathlib import Path
from PIL import Image
def wait(*args, **kwargs):
    Path("held").touch()
    time.sleep(600)
Image.open = wait
"""


@pytest.fixture
def finished(tiny_config: Callable[..., Config], plugins: Plugins, tmp_path: Path) -> Path:
    """A folder with images and a finished run."""
    make_images(tmp_path / "images")
    config = tiny_config(training__epochs=1, data=str(tmp_path / "images"), run_dir=tmp_path / "r")
    finetune(config, plugins, Display())
    return tmp_path


def use(command: str, folder: Path, workers: int, program: str, **environ: str) -> subprocess.Popen[str]:
    flags = ["--trust-code", "--workers", str(workers), "--batch-size", "4"]
    return start([command, "r", "images", *flags], folder, program + FT, **environ)


def loader_processes(process: subprocess.Popen[str]) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.parametrize(("command", "program"), [("predict", NO_ANSWER), ("evaluate", HELD)])
def test_a_dead_loader_process_is_named(finished: Path, command: str, program: str) -> None:
    process = use(command, finished, 2, program.replace("0.3", "600"), PHASE="evaluating")
    wait_for((finished / "held").exists, process)
    victim = loader_processes(process)[0]
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    died = rf"error: loader process {victim} (is killed by signal: Killed|exited unexpectedly).*\n"
    assert re.fullmatch(died, err), err
    assert "--workers 0" in err
    assert (process.returncode, out) == (2, "")
