"""Signals and dead loader processes where there is no run: one line says what was ended, and nothing lingers."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from faults.hostile_server import HostileServer, hostile_server, serve
from faults.interrupted_commands import FT, HELD, make_images, run_args, start, wait_for
from faults.repetitions import FULL
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.machine.display import Display

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
PROVIDER = """
from backbones import small
from ft import BackboneProvider, WeightEntry
def weights(model_name):
    return [WeightEntry("V1", "net.pth", sha256="{digest}", size={size})]
Slow = BackboneProvider("slow", "Slow", models=lambda settings: ["net"], build=lambda *_: small(), weights=weights)
"""
SIGNALS = [signal.SIGTERM, signal.SIGINT]
NOT_BEGUN = "before training began; nothing was changed, and the same command begins anew"
USUAL = [(signal.SIGINT, 2)]
CASES = [(number, workers) for number in SIGNALS for workers in (0, 2)] if FULL else USUAL


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


@pytest.mark.parametrize(("signal_number", "workers"), CASES)
def test_a_signal_ends_a_prediction_and_its_loader_processes(
    finished: Path, signal_number: signal.Signals, workers: int
) -> None:
    process = use("predict", finished, workers, NO_ANSWER)
    wait_for((finished / "held").exists, process)
    children = loader_processes(process)
    assert len(children) == workers
    os.killpg(process.pid, signal_number)
    out, err = process.communicate(timeout=10)
    assert (out, err) == ("", f"stopped by {signal_number.name} while evaluating\n")
    assert process.returncode == 128 + signal_number
    deadline = time.monotonic() + 10  # whoever adopts them may take a moment to let go of their numbers
    while left := [each for each in children if Path(f"/proc/{each}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


@pytest.mark.parametrize("signal_number", SIGNALS if FULL else [signal.SIGTERM])
@pytest.mark.parametrize(
    ("args", "when"),
    [
        (run_args("--run-dir", "another"), f" {NOT_BEGUN}"),
        (["plan", *run_args()[1:]], ""),
        (["evaluate", "r", "images", "--trust-code"], ""),
        (["data", "check", "images"], ""),
    ],
    ids=["run", "plan", "evaluate", "data check"],
)
def test_a_signal_while_images_are_read_ends_a_command(
    finished: Path, args: list[str], when: str, signal_number: signal.Signals
) -> None:
    process = start(args, finished, NO_ANSWER + FT, FT_CACHE=str(finished / "cache"))
    wait_for((finished / "held").exists, process)
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=10)
    assert (out, err) == ("", f"stopped by {signal_number.name} while reading images{when}\n")
    assert process.returncode == 128 + signal_number
    assert not (finished / "another").exists()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    for name in ("FT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    buffer = io.BytesIO()
    torch.save({"weight": torch.rand(2_000_000)}, buffer)
    with hostile_server(buffer.getvalue(), {"net.pth": serve}) as server:
        yield server


@pytest.mark.parametrize("signal_number", SIGNALS if FULL else [signal.SIGINT])
def test_a_signal_while_weights_are_fetched_keeps_what_has_arrived(
    web: HostileServer, tmp_path: Path, signal_number: signal.Signals
) -> None:
    make_images(tmp_path / "images")
    digest, size = hashlib.sha256(web.content).hexdigest(), len(web.content)
    (tmp_path / "mine.py").write_text(PROVIDER.format(digest=digest, size=size))
    source = ["--backbone", "./mine.py:Slow:net", "--weights", f"mirror:{web.url}"]
    places = {"TORCH_HOME": str(tmp_path / "torch"), "FT_CACHE": str(tmp_path / "cache")}
    web.pause = 0.05
    process = start(run_args(*source), tmp_path, **places)
    wait_for(lambda: web.sent > 1_000_000, process)
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=10)
    said = r"while fetching net\.pth, of which \d\.\d MB are kept for the next try " + NOT_BEGUN
    assert re.fullmatch(rf"fetching net\.pth\nstopped by {signal_number.name} {said}\n", err), err
    assert process.returncode == 128 + signal_number
    assert not (tmp_path / "r").exists()

    web.pause, sent = 0.0, web.sent
    again = start(["weights", "fetch", "./mine.py:Slow:net", "--from", f"mirror:{web.url}"], tmp_path, **places)
    _, err = again.communicate(timeout=30)
    assert again.returncode == 0, err
    assert (tmp_path / "torch" / "hub" / "checkpoints" / "net.pth").read_bytes() == web.content
    assert web.sent - sent < size - 500_000


@pytest.mark.parametrize(("command", "program"), [("predict", NO_ANSWER), ("evaluate", HELD)])
def test_a_dead_loader_process_is_named(finished: Path, command: str, program: str) -> None:
    process = use(command, finished, 2, program.replace("0.3", "600"), PHASE="evaluating")
    wait_for((finished / "held").exists, process)
    victim = loader_processes(process)[0]
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    died = rf"(\d+ of these .*\n)?error: loader process {victim} (is killed by signal: Killed|exited unexpectedly).*\n"
    assert re.fullmatch(died, err), err
    assert "--workers 0" in err
    assert (process.returncode, out) == (2, "")
