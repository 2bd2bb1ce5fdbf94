"""Runs in several processes: the same figures and the same model as in one."""

from __future__ import annotations

import csv
import json
import random
import signal
from pathlib import Path

import pytest
from PIL import Image

from conftest import TINY
from faults.repetitions import FULL
from ft import FtError
from ft.following import begun_before
from ft.machine.distributed import ALONE, Processes, Share
from ft.run.folder import Run
from processes import SMALL, WAYS, close, run_all, start_all

USUAL = [("frozen", 4), ("mixed", 2)]
EVERY = [(way, world) for way in WAYS for world in (2, 4)]


def labelled(folder: Path) -> list[str]:
    """Write images with numbers and labels, of which some are unknown; return where they are."""
    draw, rows = random.Random(0), [("path", "bright", "red", "value", "split")]
    for number in range(36):
        tint, value = number % 2, draw.random()
        noise = bytes(round(min(255, max(0, draw.gauss(60 + 120 * tint + 50 * value, 20)))) for _ in range(24 * 24 * 3))
        Image.frombytes("RGB", (24, 24), noise).save(folder / f"{number}.png")
        red = "" if number % 5 == 0 else str(number // 2 % 2)
        rows.append((f"{number}.png", str(tint), red, f"{value:.3f}", "val" if number % 4 == 0 else "train"))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return ["--data", f"csv:{folder / 'images.csv'}"]


@pytest.mark.parametrize(("way", "world"), EVERY if FULL else USUAL)
def test_several_processes_come_to_what_one_comes_to(way: str, world: int, tmp_path: Path) -> None:
    how = [*SMALL, *WAYS[way]]
    if "--task" in how:
        columns = {"multilabel": "data.columns=[bright,red]", "regression": "data.label_column=value"}
        data = [*labelled(tmp_path), "--set", columns[how[how.index("--task") + 1]]]
        how = [each for each in how if each not in ("--data", "demo", "data.images_per_class=9", "data.size=32")]
        how = [*[e for i, e in enumerate(how) if not (e == "--set" and how[i + 1].startswith("--"))], *data]
    run_all([*how, "--run-dir", "one"], 1, tmp_path, FT_CACHE=str(tmp_path / "alone"))
    first, *others = run_all([*how, "--run-dir", "many"], world, tmp_path, FT_CACHE=str(tmp_path / "together"))
    close(tmp_path / "one", tmp_path / "many")
    assert "run folder many" in first
    assert others == [""] * (world - 1)
    counted = [json.loads((tmp_path / name / "report.json").read_text())["cache"] for name in ("one", "many")]
    assert counted[0]["computed"] == counted[1]["computed"]
    assert counted[0]["decoded"] == counted[1]["decoded"]


def test_a_signal_to_one_process_stops_all_after_the_same_step_and_another_number_goes_on(tmp_path: Path) -> None:
    how = [*SMALL, *WAYS["partial"], "--epochs", "3"]
    run_all([*how, "--run-dir", "whole"], 1, tmp_path)
    program = (Path(__file__).parents[1] / "faults" / "lost_processes.py").read_text(encoding="utf-8")
    asked = [str(int(signal.SIGTERM)), "1", "epoch 2, step 2", *how, "--run-dir", "many"]
    started = start_all(asked, 2, tmp_path, program)
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [128 + signal.SIGTERM] * 2, said
    assert "its state is saved" in said[0][1]
    position = Run(tmp_path / "many").read_checkpoint("last").position
    assert (position.epoch, position.step) == (1, 2)
    run_all(["run", "--resume", "many", "--trust-code"], 3 if FULL else 1, tmp_path)
    close(tmp_path / "whole", tmp_path / "many")


def test_where_one_process_has_no_memory_all_compute_in_parts(tmp_path: Path) -> None:
    how = [f"{TINY}:hungry-second" if each == f"{TINY}:small" else each for each in SMALL]
    first, _ = run_all([*how, "--freeze", "none", "--auto-batch", "--run-dir", "many"], 2, tmp_path)
    assert "each step's 8 images are computed in 2 parts from now on" in first
    position = Run(tmp_path / "many").read_checkpoint("last").position
    assert (position.epoch, position.parts) == (2, 2)


class Two(Processes):
    share = Share(0, 2)


def test_what_processes_cannot_share_is_an_error(tiny_config: object, tmp_path: Path) -> None:
    make = tiny_config
    assert callable(make)
    config = make(training__batch_size=3)
    assert begun_before(ALONE, config, None) == (config, None)
    with pytest.raises(FtError, match="a batch of 3 cannot be shared by 2 processes; use --batch-size 4"):
        begun_before(Two(), config, None)
    with pytest.raises(FtError, match="--shard divides the network among processes, and there is one: add --nproc 2"):
        begun_before(ALONE, make(machine__shard=True), None)
    with pytest.raises(FtError, match="--auto-batch computes a step again where memory runs out"):
        begun_before(Two(), make(machine__shard=True, training__auto_batch=True), None)
    with pytest.raises(FtError, match="in one process: leave out --folds, or --nproc"):
        begun_before(Two(), make(split__folds=3), None)
