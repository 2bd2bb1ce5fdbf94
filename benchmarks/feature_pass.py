"""How fast ft's feature pass is, decoding and storing included, beside a bare loop over the same network.

    python benchmarks/feature_pass.py [--images 2624] [--rounds 3]

The bare loop runs the same module (folded, in bf16, as the promise has it) on batches that lie in memory in the type
and layout it computes in, and keeps nothing; both use the same number of threads, and run in turn. Data: photographs
of solar cells at 224 px. Weights are real for EfficientNet-Lite0 and random for ResNet-18.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from ft.cache.decision import open_store
from ft.cache.features import get_features
from ft.cache.proof import Proved, prove
from ft.config.loading import load_config
from ft.data.dataset import ImageDataset
from ft.data.load import ImageData
from ft.data.transforms import eval_transform, network_input
from ft.extension.installed import load_plugins
from ft.finetune import prepare
from ft.job import Job
from ft.machine.display import Display
from ft.machine.signals import StopRequest
from ft.prefix.fold import Promise, prepare_prefix

MODELS = {"torchvision:resnet18": "none", "efficientnet-lite:lite0": "default"}
PROMISES: tuple[Promise, ...] = ("exact", "close", "fast")
BATCH_SIZE = 32
IN_MEMORY = 8  # batches; the bare loop goes through them again and again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2624)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{torch.get_num_threads()} threads, images a second, medians of {args.rounds} rounds")
    print(f"{'':36}{'ft':>8}{'bare loop':>11}{'share':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for model, weights in MODELS.items():
            for promise in PROMISES:
                compare(model, weights, promise, args, folder)


def compare(model: str, weights: str, promise: Promise, args: argparse.Namespace, folder: str) -> None:
    os.environ["FT_CACHE"] = folder  # remembers that the images can be read
    flags: dict[str, Any] = {"backbone": model, "data": "elpv", "split.val": 0.25, "freeze": ["all"]}
    flags |= {"images.augment": "none", "training.batch_size": BATCH_SIZE, "cache.promise": promise}
    config = load_config(flags={**flags, "weights": weights})
    ready = prepare(config, load_plugins(), Display(), "pretrained" if weights == "default" else "random")
    assert ready.prefix is not None, ready.plan.cache.reason
    data = some(ready.data, args.images)
    job = replace(ready.job(Display(), StopRequest(), lambda _: None), data=data)
    proved, _ = prove(ready.model.module, ready.prefix, ready.plan, ready.store, job)
    loop = bare_loop(proved, promise, job)
    ours, bare, shares = [], [], []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as empty:
            os.environ["FT_CACHE"] = empty
            ours.append(feature_pass(proved, promise, job))
        bare.append(loop(len(data.items)))
        shares.append(ours[-1] / bare[-1])
    title, share = f"{model} {promise}", statistics.median(shares)
    print(f"{title:36}{statistics.median(ours):8.0f}{statistics.median(bare):11.0f}{share:8.0%}", flush=True)


def some(data: ImageData, images: int) -> ImageData:
    """As many images, in the proportions of the split."""
    share = min(1.0, images / len(data.items))
    train, val = (random.Random(0).sample(part, round(len(part) * share)) for part in (data.train, data.val))
    return replace(data, train=tuple(train), val=tuple(val))


def feature_pass(proved: Proved, promise: Promise, job: Job) -> float:
    """Images a second of ft's own function with nothing kept, folding, decoding and storing included."""
    started = time.perf_counter()
    features = get_features(proved, promise, open_store(job.config), job)
    seconds = time.perf_counter() - started
    assert features.computed == features.decoded == len(job.data.items), "nothing was kept before"
    return features.computed / seconds


def bare_loop(proved: Proved, promise: Promise, job: Job) -> Callable[[int], float]:
    """A function that runs about so many images, and returns how many a second."""
    module = prepare_prefix(proved.halves.prefix, promise)
    dtype = torch.bfloat16 if promise == "fast" else torch.float32
    pixels = ImageDataset(job.data.train, eval_transform(job.preprocessing))
    batches = []
    for start in range(0, min(len(pixels) // BATCH_SIZE, IN_MEMORY) * BATCH_SIZE, BATCH_SIZE):
        batch = torch.stack([pixels[0, index][0] for index in range(start, start + BATCH_SIZE)])
        batches.append(network_input(batch, job.preprocessing, job.machine).to(dtype))

    def run(images: int) -> float:
        count = images // BATCH_SIZE
        with torch.inference_mode():
            module(batches[0])
            started = time.perf_counter()
            for number in range(count):
                module(batches[number % len(batches)])
            return count * BATCH_SIZE / (time.perf_counter() - started)

    return run


if __name__ == "__main__":
    main()
