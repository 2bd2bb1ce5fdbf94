"""What the peers of equal_minutes.py share: the clock, the network, and how they are asked about the test images."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import accuracy_score, f1_score


def since_start() -> float:
    """Seconds since this process began, so that imports count."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Given:
    """The table of images, the file of weights, how many seconds there are, and the seed."""

    table: Path
    weights: Path
    seconds: float
    seed: int

    @property
    def left(self) -> float:
        return self.seconds - since_start()


def given() -> Given:
    return Given(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))


def network(weights: Path, classes: int) -> Any:
    """EfficientNet-Lite0 with its weights and a new head."""
    from efficientnet_lite_pytorch import EfficientNet

    net: Any = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(weights, weights_only=True))
    net._fc = torch.nn.Linear(net._fc.in_features, classes)
    return net


def epochs_that_fit(left: float, epoch: float, before: float = 0.0) -> int:
    """How many epochs of so many seconds fit into what is left, after something else."""
    return max(0, int((left - before) / epoch))


def answer(did: str, trained: float, predict: Callable[[], Iterable[tuple[list[int], list[int]]]]) -> None:
    """Print what came of it: labels and answers for the test images, batch by batch, are asked for now."""
    labels, answers = list[int](), list[int]()
    for theirs, ours in predict():
        labels += theirs
        answers += ours
    figures = {"accuracy": accuracy_score(labels, answers), "macro_f1": f1_score(labels, answers, average="macro")}
    print(json.dumps({**figures, "seconds": trained, "did": did}), flush=True)
