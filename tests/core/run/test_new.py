"""Folders of new runs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ft.errors import FtError
from ft.run.new import free_folder


def test_runs_of_one_second_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "20261201-120000")
    together = threading.Barrier(8)

    def begin(number: int) -> Path:
        together.wait()
        return free_folder("torchvision:resnet18")

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(begin, range(8)))
    stem = "20261201-120000-torchvision-resnet18"
    assert sorted(path.name for path in made) == [stem, *(f"{stem}-{number}" for number in range(1, 8))]
    assert all(path.is_dir() for path in made)


def test_where_no_folder_can_be_made_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("a file")
    with pytest.raises(FtError, match="cannot write runs/"):
        free_folder("torchvision:resnet18")
    Path("runs").unlink()
    Path("runs").symlink_to("nowhere")
    with pytest.raises(FtError, match="leads nowhere or is full; name another with --run-dir"):
        free_folder("torchvision:resnet18")
