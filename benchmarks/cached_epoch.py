"""How long an epoch on kept features takes, beside a bare loop over the same tensors.

    python benchmarks/cached_epoch.py [--images 2624] [--epochs 30] [--precision fp32]

Peer: the loop that one writes by hand. Features lie in one tensor; a permutation gives the batches; a linear layer goes
forward and backward, AdamW (fused, a group without weight decay for the bias, as in ft) takes a step, and its loss is
read; then validation in batches of the same size, its loss and accuracy. It counts no hits, seeds no step, has no
schedule, checks nothing, and keeps nothing. Ceiling: none lower than 1.0 with equal arithmetic.

Both run in one process and take turns epoch by epoch, with the same head, the same number of threads and the same
features: those of ResNet-18 with random weights, of ft's own demo images. Seconds are the process's CPU time, and the
ratio is the median of those of an epoch to the one before it, so that it matters little what else runs; with
OMP_NUM_THREADS=1 no thread waits for another. An epoch of ft's is training and validation; what it writes after each,
two checkpoints and a line, is told beside it.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ft.config.loading import load_config
from ft.extension.installed import load_plugins
from ft.finetune import prepare
from ft.job import Job
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.run.new import start_run
from ft.training.feature_feed import FeatureFeed
from ft.training.feeds import open_feed
from ft.training.loop import train

BATCH_SIZES = (32, 256)
SETTLED = 3  # epochs that are not counted


class Peer:
    """The bare loop: a linear layer on the features that `feed` has."""

    def __init__(self, feed: FeatureFeed, head: nn.Linear, batch_size: int, job: Job) -> None:
        (self.x,), (self.val_x,) = feed._features.train.tensors, feed._features.val.tensors
        self.y, self.val_y = feed._targets, feed._val_targets
        self.head, self.batch_size, self.job = copy.deepcopy(head), batch_size, job
        groups = [{"params": [self.head.weight]}, {"params": [self.head.bias], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        self.seconds: list[float] = []

    def epoch(self) -> None:
        started, total = time.process_time(), 0.0
        order = torch.randperm(len(self.x))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            with self.job.machine.autocast():
                logits = self.head(self.x[rows])
            loss = cross_entropy(logits.float(), self.y[rows])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item() * len(rows)
        loss_sum, hits = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(self.val_x), self.batch_size):
                x, y = self.val_x[start : start + self.batch_size], self.val_y[start : start + self.batch_size]
                with self.job.machine.autocast():
                    logits = self.head(x).float()
                loss_sum += float(cross_entropy(logits, y, reduction="sum"))
                hits += int((logits.argmax(1) == y).sum())
        self.seconds.append(time.process_time() - started)


class InTurns:
    """A feed before each of whose epochs the peer has one."""

    def __init__(self, feed: FeatureFeed, peer: Peer) -> None:
        self.feed, self.peer = feed, peer
        self.began: list[float] = []
        self.validated: list[float] = []
        self.ended: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.feed, name)

    def batches(self, epoch: int, skip: int) -> Iterator[Any]:
        self.ended.append(time.process_time())
        self.peer.epoch()
        self.began.append(time.process_time())
        yield from self.feed.batches(epoch, skip)

    def validation(self) -> Iterator[Any]:
        yield from self.feed.validation()
        self.validated.append(time.process_time())


def compare(
    batch_size: int, images: int, epochs: int, precision: str, folder: Path
) -> tuple[float, float, float, float]:
    """CPU seconds of an epoch: the peer's, ft's, and what ft writes after each; and how many times the peer's are ft's.
    All are medians."""
    config = load_config(
        flags={
            "backbone": "torchvision:resnet18",
            "weights": "none",
            "data": {"use": "demo", "images_per_class": images // 4, "size": 32},
            "images.size": 32,
            "freeze": ["all"],
            "machine.precision": precision,
            "machine.device": "cpu",
            "machine.workers": 0,
            "training.epochs": epochs + SETTLED,
            "training.batch_size": batch_size,
            "split.val": 0.25,
            "run_dir": folder / str(batch_size),
        }
    )
    plugins = load_plugins()
    ready = prepare(config, plugins, Display(), "pretrained")
    job = ready.job(Display(), StopRequest(), lambda _: None)
    feed = open_feed(ready.model.module, ready.plan, ready.prefix, ready.store, job)
    assert isinstance(feed, FeatureFeed), feed.cost.reason
    head = ready.model.module.get_submodule("fc")
    assert isinstance(head, nn.Linear)
    turns = InTurns(feed, Peer(feed, head, batch_size, job))
    train(ready.model.module, ready.plan, turns, job, start_run(ready.config, {}))
    ours = [end - began for began, end in zip(turns.began, turns.validated, strict=True)]
    written = [end - began for began, end in zip(turns.validated, turns.ended[1:], strict=False)]
    times = [mine / theirs for mine, theirs in zip(ours, turns.peer.seconds, strict=True)]
    peer, ours, written, ratio = (
        statistics.median(each[SETTLED:]) for each in (turns.peer.seconds, ours, written, times)
    )
    return peer, ours, written, ratio


def main() -> None:
    parser = argparse.ArgumentParser(description="An epoch on kept features beside a bare loop over the same tensors.")
    parser.add_argument("--images", type=int, default=2624, help="a quarter validates")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    print("batch size   bare loop          ft   times   written after each")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FT_CACHE"] = f"{folder}/cache"
        for size in BATCH_SIZES:
            *figures, ratio = compare(size, args.images, args.epochs, args.precision, Path(folder))
            peer, ours, written = (1e3 * each for each in figures)
            print(f"{size:10}   {peer:6.1f} ms   {ours:6.1f} ms   {ratio:5.2f}   {written:6.1f} ms")


if __name__ == "__main__":
    main()
