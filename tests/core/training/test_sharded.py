"""Networks that are divided among processes: the same figures and the same model as in one."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from faults.repetitions import FULL
from processes import SGD, SMALL, WAYS, close, run_all, start_all

DIVIDED = {
    **{way: [each for each in WAYS[way] if each != "--auto-batch"] for way in WAYS if "lbfgs" not in WAYS[way]},
    "last weights": ["--freeze", "until:layer1", "--augment", "none", "--swa", "2", "--clip-norm", "0.5", *SGD],
    "adapters": ["--freeze", "all", "--lora", "2", "--augment", "none", *SGD],
    "decaying rates": ["--freeze", "all", "--head", "mlp", "--augment", "none", "--lr-decay", "0.8"],
}
del DIVIDED["several labels"], DIVIDED["numbers"]  # a task is no matter of who holds what


@pytest.mark.parametrize("way", DIVIDED if FULL else ["partial"])
def test_a_network_that_is_divided_comes_to_what_a_whole_one_comes_to(way: str, tmp_path: Path) -> None:
    how = [*SMALL, *DIVIDED[way]]
    run_all([*how, "--run-dir", "one"], 1, tmp_path, FT_CACHE=str(tmp_path / "alone"))
    first, *others = run_all([*how, "--shard", "--run-dir", "two"], 2, tmp_path, FT_CACHE=str(tmp_path / "together"))
    close(tmp_path / "one", tmp_path / "two")
    assert others == [""]
    held = re.search(r"2 processes divide the network: ([\d.]+) (K?B) of ([\d.]+) \2 here, gathered", first)
    assert held is not None, first
    assert float(held[1]) < 0.6 * float(held[3])


@pytest.mark.faults
@pytest.mark.parametrize(
    ("before", "after", "world"),
    [("--shard", "--no-shard", 1), ("--shard", "--shard", 3), ("--no-shard", "--shard", 2)],
)
@pytest.mark.parametrize("freeze", [["until:layer1", *SGD], ["all", "--optimizer", "adamw"]])
def test_a_divided_run_that_stopped_goes_on_with_another_number(
    before: str, after: str, world: int, freeze: list[str], tmp_path: Path
) -> None:
    how = [*SMALL, "--augment", "none", "--epochs", "3", "--ema", "0.8", "--freeze", *freeze]
    run_all([*how, "--run-dir", "whole"], 1, tmp_path)
    program = (Path(__file__).parents[2] / "faults" / "lost_processes.py").read_text(encoding="utf-8")
    asked = [str(int(signal.SIGTERM)), "1", "epoch 2, step 2", *how, before, "--run-dir", "many"]
    started = start_all(asked, 2, tmp_path, program)
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [128 + signal.SIGTERM] * 2, said
    run_all(["run", "--resume", "many", "--trust-code", after], world, tmp_path)
    close(tmp_path / "whole", tmp_path / "many")


@pytest.mark.faults
def test_an_optimizer_that_cannot_step_parts_is_refused(tmp_path: Path) -> None:
    started = start_all([*SMALL, "--freeze", "none", "--optimizer", "adafactor", "--shard"], 2, tmp_path)
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [2, 2]
    assert "--optimizer adafactor cannot step parameters that are divided among processes" in said[0][1]
    assert "Traceback" not in said[0][1]
