"""Runs that are killed, saves that are cut off after any file operation, and disks that fill up."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import warm_python
from faults.crash_while_saving import position_after
from faults.repetitions import FULL, times
from ft.errors import FtError
from ft.run.checkpoints import Checkpoint, load_checkpoint, save_checkpoint, save_tensors

PROGRAM = """
import runpy, sys, warnings
warnings.simplefilter("ignore")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_program(name: str, *args: str) -> str:
    process = warm_python.start(PROGRAM, [str(Path(__file__).parent / name), *args], Path.cwd())
    out, err = process.communicate(timeout=times(7200, 600))
    assert process.returncode == 0, err
    return out


def test_a_run_that_is_killed_loses_no_checkpoint_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    counts = json.loads(run_program("kill_and_resume.py", str(times(200, 3)), str(tmp_path)))
    print("\nSIGKILL:", ", ".join(f"{count} {what}" for what, count in counts.items()))
    assert counts["kills"] >= times(200, 3)
    assert counts["runs equal"] == counts["runs finished"] > 0
    assert counts["left behind"] == 0


def test_a_crash_after_any_file_operation_leaves_a_loadable_checkpoint(tmp_path: Path) -> None:
    crashes = int(run_program("crash_while_saving.py", str(tmp_path), str(times(1, 9))))
    print(f"\n{crashes} of {crashes} crashes left loadable checkpoints")
    assert crashes > times(80, 8)


def test_a_crash_after_any_file_operation_of_a_changed_freeze_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    crashes = int(run_program("crash_while_changing_freeze.py", str(tmp_path), str(times(1, 80))).split()[-1])
    print(f"\n{crashes} of {crashes} crashes left a run that ends in the same state")
    assert crashes > times(100, 1)


def test_a_crash_in_any_phase_and_between_two_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    crashes = int(run_program("crash_between_phases.py", str(tmp_path), str(times(1, 200))).split()[-1])
    print(f"\n{crashes} of {crashes} crashes left a run that ends in the same state")
    assert crashes > times(100, 2)


class _Full(io.FileIO):
    """A file on a disk that has room for so many bytes of it."""

    room = 0

    def write(self, content: Any) -> int:
        if self.tell() + len(memoryview(content).cast("B")) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


TENSORS = {f"{i}.weight": torch.full((40, 50), float(i)) for i in range(4)}


def _checkpoint(path: Path, epoch: int) -> None:
    save_checkpoint(
        path, Checkpoint(position_after(epoch), TENSORS, {"0.weight": {"exp_avg": TENSORS["1.weight"].clone()}}, "")
    )


def _tensors(path: Path, epoch: int) -> None:
    save_tensors(path, {name: tensor + epoch for name, tensor in TENSORS.items()})


@pytest.mark.parametrize(("save", "name"), [(_checkpoint, "last.pt"), (_tensors, "model.safetensors")])
def test_a_disk_that_fills_up_leaves_the_previous_file_and_is_named_with_the_bytes_needed(
    save: Callable[[Path, int], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    save(path, 1)
    before, size = path.read_bytes(), path.stat().st_size
    plain_open = io.open

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return io.BufferedRandom(_Full(file, mode)) if mode == "x+b" else plain_open(file, mode, *args, **kwargs)

    monkeypatch.setattr(io, "open", opened)
    offsets = [size * i // 20 for i in range(20)]
    for room in offsets:
        monkeypatch.setattr(_Full, "room", room)
        with pytest.raises(FtError, match=rf"the disk is full: .*{name} needs \d+\.\d \w+ and \d+\.\d \w+ are free"):
            save(path, 2)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == [name]
    print(f"\n{name}: full at {len(offsets)} offsets, {len(offsets)} times the previous file and a named error")
    monkeypatch.setattr(_Full, "room", 10 * size)
    save(path, 2)
    assert path.read_bytes() != before


@pytest.mark.skipif(
    not FULL or os.name == "nt" or os.geteuid() != 0, reason="mounts a file system: make faults, as root"
)
def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    try:
        _checkpoint(tmp_path / "last.pt", 1)
        free = shutil.disk_usage(tmp_path).free
        (tmp_path / "other").write_bytes(b"x" * (free - 40_960))  # room for the tensors, and for nothing more
        with pytest.raises(FtError, match=r"the disk is full: .*last\.pt needs"):
            _checkpoint(tmp_path / "last.pt", 2)
        assert load_checkpoint(tmp_path / "last.pt").position.epoch == 1
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["last.pt", "other"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
