"""What many heads trained at once cost beside one, on the same kept features.

    OMP_NUM_THREADS=1 python benchmarks/head_sweep.py [--images 2624] [--epochs 12] [--rounds 3]

Peer: ft's own training loop with one head and AdamW, as `ft run --freeze all` trains it. `--optimizer sweep` trains as
many heads as there are candidates, all of them measured on the validation images after each epoch. Both have the same
features (those of ResNet-18 with random weights, of ft's own demo images, [N, 512], four classes), batches and order,
and write the same files; they take turns in one process. Seconds are the process's CPU time from the beginning of an
epoch to that of the next, medians of all epochs but the first three of each run.

Two bounds are computed from what one head takes and from the arithmetic of the others alone, at the rate of a large
product of matrices here: the least times that so many heads can take of one, and what as many runs, one after the
other, would take. A head costs 6 multiplications and additions for each weight and training image (forward, gradient)
and 2 for each validation image.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ft.config.loading import load_config
from ft.extension.installed import load_plugins
from ft.finetune import prepare
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.run.folder import start_run
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import open_feed
from ft.training.fit import fit

BATCH_SIZES = (32, 256)
HEADS = (1, 7, 28, 112)
SETTLED = 3  # epochs that are not counted
CLASSES, WIDTH = 4, 512


def epochs_of(heads: int | None, batch_size: int, args: argparse.Namespace, folder: Path) -> list[float]:
    """CPU seconds of each epoch with so many heads side by side; None is the training loop with one."""
    rates = [10 ** (-4 + 3 * number / (heads or 1)) for number in range(heads or 1)]
    optimizer: Any = "adamw" if heads is None else {"use": "sweep", "rates": rates, "decays": [0.01]}
    config = load_config(
        flags={
            "backbone": "torchvision:resnet18",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": args.images // CLASSES, "size": 32},
            "images.size": 32,
            "freeze": ["all"],
            "machine.precision": "fp32",
            "machine.device": "cpu",
            "machine.workers": 0,
            "training.epochs": args.epochs + SETTLED,
            "training.batch_size": batch_size,
            "training.optimizer": optimizer,
            "split.val": 0.25,
            "run_dir": folder,
        }
    )
    ready = prepare(config, load_plugins(), Display(), "pretrained")
    job = ready.job(Display(), StopRequest(), lambda _: None)
    feed = open_feed(ready.model.module, ready.plan, ready.prefix, ready.store, job)
    assert isinstance(feed, FeatureFeed), feed.cost.reason
    began = list[float]()
    batches = feed.batches

    def timed(epoch: int, skip: int) -> Iterator[Any]:
        began.append(time.process_time())
        yield from batches(epoch, skip)

    feed.batches = timed  # type: ignore[method-assign]
    fit(ready.model.module, ready.plan, feed, job, start_run(ready.config, {}))
    return [after - before for before, after in pairwise(began)][SETTLED:]


def products_a_second() -> float:
    """Multiplications and additions a second in a large product of matrices."""
    one = torch.rand(1024, 1024)
    best = float("inf")
    for _ in range(10):
        started = time.process_time()
        one @ one
        best = min(best, time.process_time() - started)
    return float(2 * 1024**3 / best)


def main() -> None:
    parser = argparse.ArgumentParser(description="Many heads trained at once beside one.")
    parser.add_argument("--images", type=int, default=2624, help="a quarter validates")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    speed = products_a_second()
    threads = f"{torch.get_num_threads()} threads"
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {threads}, {speed / 1e9:.0f} GFLOP/s")
    print("batch size   heads   an epoch   times one   least   one after the other")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FT_CACHE"] = f"{folder}/cache"
        for size in BATCH_SIZES:
            seconds: dict[int | None, list[float]] = {heads: [] for heads in (None, *HEADS)}
            for turn in range(args.rounds):
                for heads, found in seconds.items():
                    found += epochs_of(heads, size, args, Path(folder) / f"{size}-{heads}-{turn}")
            one = statistics.median(seconds[None])
            arithmetic = (6 * 0.75 + 2 * 0.25) * args.images * CLASSES * WIDTH / speed
            print(f"{size:10}    loop   {1e3 * one:5.1f} ms")
            for heads in HEADS:
                took = statistics.median(seconds[heads])
                least = 1 + (heads - 1) * arithmetic / one
                print(
                    f"{size:10}   {heads:5}   {1e3 * took:5.1f} ms   {took / one:9.2f}   {least:5.2f}   {heads:19.0f}"
                )


if __name__ == "__main__":
    main()
