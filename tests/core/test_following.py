"""Runs in several processes: the same figures and the same model as in one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY
from processes import figures, run_all

SMALL = [
    *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--data", "demo", "--set", "data.images_per_class=9"),
    *("--set", "data.size=32", "--image-size", "16", "--precision", "fp32", "--workers", "0", "--epochs", "2"),
    *("--batch-size", "8", "--lr", "0.01", "--device", "cpu", "--set", "report.html=false"),
]
"""29 training images, so that the last batch is one of five, and 7 to validate."""


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize(
    "how",
    [
        ["--freeze", "all"],
        ["--freeze", "until:layer1", "--augment", "none", "--optimizer", "sgd"],
        ["--freeze", "none", "--augment", "standard", "--optimizer", "sgd", "--auto-batch"],
        ["--freeze", "none", "--augment", "none", "--mixup", "0.4", "--optimizer", "sgd"],
    ],
    ids=["frozen", "partial", "full", "mixup"],
)
def test_several_processes_come_to_what_one_comes_to(how: list[str], world: int, tmp_path: Path) -> None:
    run_all([*SMALL, *how, "--run-dir", "one"], 1, tmp_path)
    run_all([*SMALL, *how, "--run-dir", "many"], world, tmp_path)
    for one, many in zip(figures(tmp_path / "one"), figures(tmp_path / "many"), strict=True):
        assert many == pytest.approx(one, rel=1e-4, abs=1e-5)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "many"))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4)
