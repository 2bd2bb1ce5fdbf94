"""The tracker `wandb`, with the library: `make trackers` installs it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ft.testing import told_by_run
from ft_trackers.wandb import Settings, track

pytest.importorskip("wandb", reason="wandb is not installed; make trackers installs it")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def tell(folder: Path, **told: Any) -> None:
    import wandb

    listen = track(Settings())
    for event in told_by_run(folder, **told):
        listen(event)
    wandb.teardown()  # as when the process ends: then everything is written


def records(folder: Path) -> list[Any]:
    """Every record that is kept for `wandb sync`, the attempts one after the other."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for path in sorted(folder.rglob("run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for data in contents(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def contents(log: bytes, block: int = 32768) -> Iterator[bytes]:
    """What a log in LevelDB's format holds: pieces with a checksum, a length and a type, none longer than its block."""
    at, whole = 7, b""
    while at + 7 <= len(log):
        if block - at % block < 7:
            at += block - at % block
        _, length, kind = struct.unpack_from("<IHB", log, at)
        whole += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of it, or its last piece
            yield whole
            whole = b""


def steps(folder: Path) -> list[int]:
    lines = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(folder)
        if record.HasField("history")
    ]
    assert all("train_loss" in line for line in lines)
    return [line["_step"] for line in lines]


def test_figures_config_and_files_wait_in_the_run_s_folder(tmp_path: Path) -> None:
    tell(tmp_path / "mine")
    found = records(tmp_path / "mine")
    assert steps(tmp_path / "mine") == [1, 2]
    (run,) = (record.run for record in found if record.HasField("run"))
    assert (run.display_name, run.project) == ("mine", "ft")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["training"]["epochs"] == 2
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [0]
    (files,) = (
        r.request.log_artifact.artifact if r.HasField("request") else r.artifact
        for r in found
        if r.HasField("artifact") or r.request.HasField("log_artifact")
    )
    assert {entry.path for entry in files.manifest.contents} == {"config.yaml", "report.json"}


def test_a_run_that_goes_on_is_the_same_run(tmp_path: Path) -> None:
    tell(tmp_path, fails=True)
    tell(tmp_path, before=2)
    found = records(tmp_path)
    assert len({record.run.run_id for record in found if record.HasField("run")}) == 1
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [1, 0]
    assert steps(tmp_path) == [1, 2, 3, 4]
