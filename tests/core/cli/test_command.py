"""The installed command, in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import warm_python
from conftest import TINY
from faults.interrupted_commands import wait_for

MAIN = "from ft.cli import main; main()"
FT = (sys.executable, "-c", MAIN)
QUICK = (
    *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--image-size", "16", "--workers", "2"),
    *("--precision", "fp32", "--device", "cpu", "--set", "data={use: demo, images_per_class: 6, size: 32}"),
)


def test_a_mistake_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    done = warm_python.start(MAIN, ["plan", "--backbone", "resnet18"], tmp_path)
    out, err = done.communicate()
    assert done.returncode == 2
    assert out == ""
    assert re.fullmatch(r"error: write the provider too: (timm:resnet18 or )?torchvision:resnet18\n", err)


def test_python_m_ft_is_ft(tmp_path: Path) -> None:
    def said(*command: str) -> tuple[int, str, str]:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    for args in (("--help",), ("--version",), ("plan", "--nope"), ("describe", "freeze:all")):
        assert said(sys.executable, "-m", "ft", *args) == said(*FT, *args)


def test_sigterm_saves_says_how_to_go_on_and_the_run_goes_on(tmp_path: Path) -> None:
    process = warm_python.start(MAIN, [*QUICK, "--epochs", "500", "--run-dir", "r"], tmp_path)
    wait_for((tmp_path / "r" / "last.pt").exists, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "ft run --resume r" in err
    assert "Traceback" not in err
    (tmp_path / "elsewhere").mkdir()
    epochs = (tmp_path / "r" / "metrics.jsonl").read_text().count("\n")
    again = warm_python.start(MAIN, ["run", "--resume", "../r", "--trust-code"], tmp_path / "elsewhere")
    wait_for(lambda: (tmp_path / "r" / "metrics.jsonl").read_text().count("\n") > epochs, again)
    again.send_signal(signal.SIGINT)
    _, err = again.communicate(timeout=30)
    assert again.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
