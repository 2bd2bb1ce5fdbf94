"""Runs of ft in several processes, started as torchrun starts them."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY
from warm_python import WarmProcess, start

FT = "from ft.cli import main; main()"
SMALL = [
    *("run", "--backbone", f"{TINY}:small", "--weights", "none", "--data", "demo", "--set", "data.images_per_class=9"),
    *("--set", "data.size=32", "--image-size", "16", "--precision", "fp32", "--workers", "0", "--epochs", "2"),
    *("--batch-size", "8", "--lr", "0.01", "--device", "cpu", "--set", "report.html=false"),
]
"""29 training images, so that the last batch is one of five, and 7 to validate; with dropout and BatchNorm."""
SGD = [
    "--optimizer",
    "sgd",
]  # AdamW would move a bias before BatchNorm, whose gradient is zero, by what rounding leaves
WAYS = {
    "frozen": ["--freeze", "all"],
    "frozen, of all heads one": ["--freeze", "all", "--augment", "none", "--optimizer", "lbfgs"],
    "partial": ["--freeze", "until:layer1", "--augment", "none", *SGD],
    "views": ["--freeze", "until:layer1", "--augment", "standard", "--views", "2", *SGD],
    "full": ["--freeze", "none", "--augment", "standard", *SGD, "--auto-batch"],
    "mixed": ["--freeze", "none", "--augment", "none", "--mixup", "0.4", "--cutmix", "1", "--ema", "0.8", *SGD],
    "averaged": ["--freeze", "none", "--augment", "none", "--soup", "2", *SGD],
    "balanced": ["--freeze", "none", "--augment", "none", "--set", "task.sampler=balanced", *SGD],
    "several labels": ["--freeze", "until:layer1", "--task", "multilabel", *SGD],
    "numbers": ["--freeze", "none", "--task", "regression", *SGD],
}


def start_all(arguments: Sequence[str], world: int, cwd: Path, program: str = FT, **environ: str) -> list[WarmProcess]:
    """Start `ft` with these arguments in `world` processes that can find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", **environ}
    return [start(program, arguments, cwd, **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(world)]


def run_all(arguments: Sequence[str], world: int, cwd: Path, **environ: str) -> list[str]:
    """Run `ft` so, and return what each process printed and complained of. Fails where one of them does."""
    started = start_all(arguments, world, cwd, **environ)
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * world, "\n".join(out + err for out, err in said)
    return [out + err for out, err in said]


def figures(folder: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says of each epoch, but for seconds, and a penalty that nobody chose."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in ("seconds", "penalty")} for line in lines]


def close(one: Path, other: Path) -> None:
    for ours, theirs in zip(figures(one), figures(other), strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-5)
    tensors, others = (load_file(folder / "model.safetensors") for folder in (one, other))
    for name, tensor in tensors.items():
        torch.testing.assert_close(others[name], tensor, rtol=1e-3, atol=1e-4)
