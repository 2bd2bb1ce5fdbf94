"""A run over two machines: here two network namespaces of this one, with a cable between them that can be cut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from faults.repetitions import FULL
from processes import SMALL, figures, run_all

pytestmark = pytest.mark.skipif(not FULL, reason="make faults runs it: it starts torchrun on two machines")
TESTS = Path(__file__).parents[1]
ADDRESSES = ("10.213.7.1", "10.213.7.2")
HOW = ["--freeze", "until:layer1", "--augment", "none", "--optimizer", "sgd", "--set", "machine.wait=12"]


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def cable() -> tuple[str, str]:
    """The names of its two ends."""
    return f"ft{os.getpid():x}a", f"ft{os.getpid():x}b"


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces that reach each other; skipped where the machine allows none."""
    names = tuple(f"ft-{os.getpid()}-{number}" for number in range(2))
    try:
        for name in names:
            ip(f"netns add {name}")
        ends = cable()
        ip(f"link add {ends[0]} netns {names[0]} type veth peer name {ends[1]} netns {names[1]}")
        for name, end, address in zip(names, ends, ADDRESSES, strict=True):
            ip(f"-n {name} addr add {address}/24 dev {end}")
            ip(f"-n {name} link set {end} up")
            ip(f"-n {name} link set lo up")
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"this machine allows no network namespaces: {why.decode().strip()}")
    try:
        yield names[0], names[1]
    finally:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                ip(f"netns del {name}")


def started(machines: Sequence[str], arguments: Sequence[str], cwd: Path) -> list[subprocess.Popen[str]]:
    """torchrun on each machine, with one process; what they need of each other goes through the cable."""
    where = f"{ADDRESSES[0]}:29507"
    commands = [
        [
            *("ip", "netns", "exec", machine, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"),
            *("--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "1", "--rdzv-endpoint", where),
            *("--rdzv-conf", f"is_host={number == 0}", "--local-addr", ADDRESSES[number], "-m", "ft", *arguments),
        ]
        for number, machine in enumerate(machines)
    ]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "FT_CACHE": str(cwd / "cache"), "PYTHONPATH": str(TESTS)}
    return [
        subprocess.Popen(
            command,
            cwd=cwd,
            env={**environ, "GLOO_SOCKET_IFNAME": end},  # the name of this machine is that of its loopback
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for command, end in zip(commands, cable(), strict=True)
    ]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _runs(pid: int) -> bool:
    """Whether a process has not ended, which torchrun may be too busy waiting to notice."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_two_machines_come_to_what_one_process_comes_to(machines: tuple[str, str], tmp_path: Path) -> None:
    both = started(machines, [*SMALL, *HOW, "--run-dir", "run"], tmp_path)
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    run_all([*SMALL, *HOW, "--run-dir", "alone"], 1, tmp_path)
    for one, other in zip(figures(tmp_path / "alone"), figures(tmp_path / "run"), strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)


def test_a_cable_that_is_cut_ends_the_run_on_both_machines_which_goes_on(
    machines: tuple[str, str], tmp_path: Path
) -> None:
    long = [each if each != "2" else "400" for each in [*SMALL, *HOW]]  # epochs
    both = started(machines, [*long, "--run-dir", "run"], tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        assert both[0].poll() is None, both[0].communicate()
        time.sleep(0.05)
    workers = [int(pid) for process in both for pid in _children(process.pid)]
    for name, end in zip(machines, cable(), strict=True):
        ip(f"-n {name} link set {end} down")
    began = time.monotonic()
    while alive := [each for each in workers if _runs(each)]:
        assert time.monotonic() - began < 90, f"{alive} of {workers} wait"
        time.sleep(0.2)
    print(f"\nboth ended {time.monotonic() - began:.0f} s after the cable was cut")
    for process in both:
        process.kill()  # torchrun itself waits for a quarter of an hour
    said = [process.communicate()[0] for process in both]
    assert "process 1 of 2" in said[0], said[0]
    assert "ft run --resume" in said[0], said[0]
    done = metrics.read_text().count("\n")
    run_all(["run", "--resume", "run", "--trust-code", "--epochs", str(done + 2)], 1, tmp_path)
    assert metrics.read_text().count("\n") == done + 2
