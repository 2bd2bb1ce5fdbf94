"""A run of each task, killed by SIGKILL and resumed, leaves the model and the figures of one that nobody killed."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from conftest import TINY
from faults.interrupted_commands import start, wait_for
from faults.repetitions import FULL, times
from finished_runs import metrics_in

EPOCHS = times(60, 12)
NETWORKS = {"tiny": (f"{TINY}:small", 16), "resnet18": ("torchvision:resnet18", 32)}
TASKS: dict[str, tuple[str, str]] = {
    "classes": ("classification", "data.label_column=kind"),
    "texts": ("multilabel", "data.label_column=labels"),
    "columns": ("multilabel", "data.columns=[bright,red]"),
    "number": ("regression", "data.label_column=value"),
    "numbers": ("regression", "data.columns=[value,size]"),
}
PROMISES = ("off", "exact", "close", "fast")
WAYS = {"sweep": ["--optimizer", "sweep"], "adapters": ["--lora", "2"]}
USUAL = [("tiny", "columns", "exact", "")]
EVERY = [*((*case, "") for case in product(NETWORKS, TASKS, PROMISES)), *product(["tiny"], TASKS, ["exact"], WAYS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of images with a kind, labels that apply together, two columns of 0 and 1, and two numbers."""
    folder, draw = tmp_path_factory.mktemp("labelled"), random.Random(0)
    rows = [("path", "kind", "labels", "bright", "red", "value", "size", "part")]
    for number in range(36):
        bright, red, value = number % 2, number // 2 % 2, draw.random()
        base = round(50 + 60 * value + 60 * bright)
        noise = [round(draw.gauss(each, 30)) for _ in range(24 * 24) for each in (base + 60 * red, base, base)]
        Image.frombytes("RGB", (24, 24), bytes(max(0, min(255, each)) for each in noise)).save(folder / f"{number}.png")
        kind, labels = ("day" if bright else "night"), ";".join(["bright"] * bright + ["red"] * red)
        known = "" if number % 7 == 0 else str(red)
        split = ("train", "train", "val", "train", "train", "test")[number // 4 % 6]
        numbers = f"{value:.3f}", f"{1000 + 100 * value:.1f}"
        rows.append((f"{number}.png", kind, labels, str(bright), known, *numbers, split))
    with (folder / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def ft(*args: str, cwd: Path, **environ: str) -> str:
    out, err = (process := start(args, cwd, **environ)).communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def results(run: Path) -> tuple[Any, ...]:
    """Figures of every epoch, what was chosen on validation images, and the report's figures."""
    model, report = (json.loads((run / name).read_text()) for name in ("model.json", "report.json"))
    return metrics_in(run), model, report["val"], report["test"], report["best_epoch"]


@pytest.mark.parametrize(("network", "form", "promise", "way"), EVERY if FULL else USUAL)
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_is_not(
    network: str, form: str, promise: str, way: str, folder: Path, tmp_path: Path
) -> None:
    backbone, size = NETWORKS[network]
    task, labels = TASKS[form]
    settings = ["--set", labels, "--set", "data.split_column=part"]
    args = ["run", "--backbone", backbone, "--weights", "none", "--freeze", "all", "--image-size", str(size)]
    args += ["--data", f"csv:{folder}/images.csv", *settings, "--task", task, "--cache", promise]
    args += ["--epochs", str(EPOCHS), "--batch-size", "6", "--lr", "0.02", "--augment", "none"]
    args += ["--workers", "0", "--device", "cpu", *(["--precision", "fp32"] if promise == "off" else [])]
    args += WAYS.get(way, [])
    ft(*args, "--run-dir", "whole", cwd=tmp_path, FT_CACHE=str(tmp_path / "one"))

    other = {"FT_CACHE": str(tmp_path / "other")}
    metrics, epochs = tmp_path / "killed" / "metrics.jsonl", 0
    command = [*args, "--run-dir", "killed"]
    for kill_after in (2, 17, 40) if FULL else (4,):
        process = start(command, tmp_path, **other)
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= kill_after, process)  # noqa: B023
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert epochs < (epochs := metrics.read_text().count("\n")) < EPOCHS
        command = ["run", "--resume", "killed", "--trust-code"]
    ft(*command, cwd=tmp_path, **other)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert results(whole) == results(killed)
    ours, theirs = (load_file(run / "model.safetensors") for run in (whole, killed))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert not list(killed.glob(".*")), "what a killed writer left is taken away"
    if FULL:
        report = json.loads((killed / "report.json").read_text())
        kept, best = report["cache"]["promise"], report["best_epoch"]
        print(f"\n{network}, {task}, {labels}: --cache {promise} gave {kept}, best epoch {best}")
        evaluate = ["evaluate", "killed", f"csv:{folder}/images.csv", *settings, "--trust-code", "--json"]
        evaluate += ["--device", "cpu"]
        for split in ("val", "test"):
            told = json.loads(ft(*evaluate, "--split", split, cwd=tmp_path, **other))
            assert {name: figure for name, figure in told.items() if name != "images"} == report[split]
