"""Steps a second and bytes a step of two processes, beside Lightning's DDP and accelerate.

    python benchmarks/processes.py [--rounds 3] [--epochs 4] [--trains head|last|all] [--worlds 1 2 4]

Everybody trains a ResNet-18 of random weights on 1,024 images of 64 pixels and four classes, held in memory or kept
decoded, by SGD with batches of 64, on two processes of one thread each, with gloo over the loopback. A round is
everybody once with 1 epoch and once with more, in turn; what the second takes beyond the first, on the clock and in
bytes through the loopback, is that of the steps between. ft validates after each epoch, on a twentieth of the images,
and writes its state; the others do neither.

With --worlds, ft alone is measured, with each of these numbers of processes, and what more of them would take on other
machines is computed: a step is its computing shared evenly, and sending each gradient twice, less a share, at 1.2 GB/s,
one after the other.

The ceiling of bytes is what has to be sent: with two processes, the gradients of what trains, 4 bytes each, from each
to the other, whoever sends them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
STEPS = 16
BANDWIDTH = 1.2e9
"""Bytes a second that each process sends, and gets, over a network of 10 gigabits."""
FREEZE = {"head": "all", "last": "until:layer3", "all": "none"}
TRAINED = {"head": 2_052, "last": 8_395_780, "all": 11_178_564}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--trains", choices=FREEZE, nargs="*", default=list(FREEZE))
    parser.add_argument("--worlds", type=int, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    said = parser.parse_args()
    if said.worlds:
        for trains in said.trains:
            by_world(trains, said)
        return
    results = {}
    for trains in said.trains:
        took: dict[str, list[tuple[float, float]]] = {}
        for _ in range(said.rounds):
            for name in ("ft", "lightning", "accelerate"):
                few, many = (once(name, trains, epochs) for epochs in (1, 1 + said.epochs))
                steps = STEPS * said.epochs
                took.setdefault(name, []).append(((many[0] - few[0]) / steps, (many[1] - few[1]) / steps))
        results[trains] = took
        print(
            f"\n{trains}: {TRAINED[trains]:,} parameters train; ceiling {2 * 4 * TRAINED[trains] / 1e6:.3f} MB a step"
        )
        for name, each in took.items():
            pace = [1 / seconds for seconds, _ in each]
            sent = statistics.median(size for _, size in each)
            print(
                f"  {name:10} {statistics.median(pace):7.2f} steps/s ({min(pace):.2f} to {max(pace):.2f}), "
                f"{sent / 1e6:8.3f} MB a step"
            )
    print(f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.platform()}")
    if said.out:
        said.out.write_text(json.dumps(results))


def by_world(trains: str, said: argparse.Namespace) -> None:
    """What a step of ft takes in so many processes, and what it would take in more."""
    alone = None
    print(f"\n{trains}: {TRAINED[trains]:,} parameters train; a step of 64 images")
    for world in said.worlds:
        took = []
        for _ in range(said.rounds):
            few, many = (once("ft", trains, epochs, world) for epochs in (1, 1 + said.epochs))
            took.append([(more - less) / (STEPS * said.epochs) for more, less in zip(many, few, strict=True)])
        seconds, sent = (statistics.median(each) for each in zip(*took, strict=True))
        alone = seconds if world == 1 else alone
        print(f"  {world:4} processes: {seconds:.3f} s ({1 / seconds:.2f} steps/s), {sent / 1e6:.3f} MB a step")
    for world in (8, 16, 32) if alone else ():
        sending = 2 * 4 * TRAINED[trains] * (world - 1) / world / BANDWIDTH
        print(f"  {world:4} processes, computed: {alone / world + sending:.3f} s, of which sending {sending:.3f} s")


def once(name: str, trains: str, epochs: int, world: int = 2) -> tuple[float, float]:
    """Seconds on the clock and bytes through the loopback of a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(world)]
        if name == "ft":
            command = [
                *(*run, "-m", "ft", "run", "--backbone", "torchvision:resnet18", "--weights", "none", "--data", "demo"),
                *(
                    "--set",
                    "data.images_per_class=269",
                    "--set",
                    "data.size=64",
                    "--image-size",
                    "64",
                    "--fit",
                    "squash",
                ),
                *("--val-fraction", "0.05", "--augment", "none", "--optimizer", "sgd", "--lr", "0.001"),
                *("--batch-size", "64", "--precision", "fp32", "--freeze", FREEZE[trains], "--epochs", str(epochs)),
                *("--set", "report.html=false", "--run-dir", f"{folder}/run"),
            ]
        else:
            command = [*run, str(PEERS / f"processes_{name}.py"), trains, str(epochs)]
        before, started = through_loopback(), time.perf_counter()
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
        return time.perf_counter() - started, through_loopback() - before


def through_loopback() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise SystemExit("there is no loopback here to count bytes on")


if __name__ == "__main__":
    main()
