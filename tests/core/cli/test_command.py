"""The installed command, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import TINY

FT = (sys.executable, "-c", "from ft.cli import main; main()")
QUICK = (
    *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--workers", "2"),
    *("--precision", "fp32", "--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
)


def start(*args: str, cwd: Path) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [*FT, *args], cwd=cwd, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_mistake_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    process = start("plan", "--backbone", "resnet18", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert re.fullmatch(r"error: write the provider too: (timm:resnet18 or )?torchvision:resnet18\n", err)


def test_python_m_ft_is_ft(tmp_path: Path) -> None:
    def said(*command: str) -> tuple[int, str, str]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    for args in (("--help",), ("--version",), ("plan", "--nope"), ("describe", "freeze:all")):
        assert said(sys.executable, "-m", "ft", *args) == said(*FT, *args)


def test_sigterm_saves_says_how_to_go_on_and_the_run_goes_on(tmp_path: Path) -> None:
    process = start(*QUICK, "--epochs", "500", "--run-dir", "r", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "r" / "last.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "ft run --resume r" in err
    assert "Traceback" not in err
    (tmp_path / "elsewhere").mkdir()
    again = start("run", "--resume", "../r", "--trust-code", cwd=tmp_path / "elsewhere")
    time.sleep(0.1)
    epochs = (tmp_path / "r" / "metrics.jsonl").read_text().count("\n")
    while (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") <= epochs:
        assert again.poll() is None, again.communicate()
        assert time.monotonic() < deadline + 60
        time.sleep(0.05)
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=30)
    assert again.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
