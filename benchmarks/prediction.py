"""How fast `ft predict` is on very many images, beside a bare loop over the same network.

    python benchmarks/prediction.py [RUN] [--images 10000] [--rounds 5] [--workers 2] [--batch-size 32]

RUN is a finished run; without it, a ResNet-18 with random weights. With --exported FOLDER, that is asked too. The
images are JPEGs of 500 x 375 pixels and about 45 kB, 50 of them under as many names as are asked for. Everybody is a
whole process, start-up included, and has the same images, loader processes, batches and network: the bare loop is
torch's DataLoader over Pillow's decoding and torchvision's resize and crop, and keeps the number of the likeliest
class. The images are asked about in so many rounds, in each of which everybody has the same part of them, in turn, so
that a machine that is busy with other things is so for all. The ceiling of the ratio is 1 at equal decoding: ft has
the same to do, and rows to write beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

BARE = """
import sys
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
import ft

run, listed, workers, batch_size = sys.argv[1:]
model = ft.load(run, workers=0, trust_code=True, precision="fp32", device="cpu")
about = model.preprocessing
side = about.resize_size if about.fit == "crop" else (about.crop_size, about.crop_size)
kind = v2.InterpolationMode(about.interpolation)
prepare = v2.Compose([v2.PILToTensor(), v2.Resize(side, kind, antialias=True), v2.CenterCrop(about.crop_size)])
paths = open(listed).read().split("\\n")

class Images(Dataset):
    def __len__(self):
        return len(paths)
    def __getitem__(self, index):
        return prepare(Image.open(paths[index]).convert("RGB"))

found = []
with torch.inference_mode():
    for images in DataLoader(Images(), batch_size=int(batch_size), num_workers=int(workers)):
        found.append(model.module(images).argmax(1))
assert len(torch.cat(found)) == len(paths)
"""
KINDS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--exported", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.run = args.run or make_run(folder)
        paths = make_images(folder / "images", args.images)
        using = ["--workers", str(args.workers), "--batch-size", str(args.batch_size)]
        asked = {"ft predict": args.run} | ({"exported": args.exported} if args.exported else {})
        spent: dict[str, list[Spent]] = {"bare loop": [], **{each: [] for each in asked}}
        for number in range(args.rounds):
            part = paths[number :: args.rounds]
            listed = folder / f"{number}.txt"
            listed.write_text("\n".join(map(str, part)))
            for who in (list(spent), list(spent)[::-1])[number % 2]:  # who is first is last in the next round
                if who == "bare loop":
                    told = [str(args.run.absolute()), str(listed), str(args.workers), str(args.batch_size)]
                    spent[who].append(timed(["-c", BARE, *told], None, folder))
                    continue
                out = folder / f"{who}-{number}.csv"
                more = ["--trust-code"] if who == "exported" else ["--device", "cpu", "--trust-code"]
                asking = ["predict", str(asked[who].absolute()), "-", *using, "--out", str(out), *more]
                spent[who].append(timed(["-m", "ft", *asking], listed, folder))
                rows = out.read_bytes().count(b"\r\n") - 1
                assert rows == len(part), (rows, len(part))
            print(f"round {number + 1}: {len(part)} images, load {os.getloadavg()[0]:.1f}", flush=True)
            for who, each in spent.items():
                speed, busy = len(part) / each[-1].wall, each[-1].processor / len(part)
                print(
                    f"  {who:12}{speed:8.1f} images a second, {1000 * busy:8.1f} ms of processor time an image",
                    flush=True,
                )
    for who in asked:
        pairs = list(zip(spent[who], spent["bare loop"], strict=True))
        for what, shares in (
            ("speed", [bare.wall / ours.wall for ours, bare in pairs]),
            ("images for the same processor time", [bare.processor / ours.processor for ours, bare in pairs]),
        ):
            middle = statistics.median(shares)
            print(f"{who}: {middle:.0%} of the bare loop in {what} ({min(shares):.0%} to {max(shares):.0%})")


@dataclass(frozen=True)
class Spent:
    """Seconds that a process took, and those for which it and its children kept processors busy, which hardly depend
    on what else a machine does."""

    wall: float
    processor: float


def make_run(folder: Path) -> Path:
    """A run that ended at once."""
    keys = ["--backbone", "torchvision:resnet18", "--weights", "none", "--data", "demo", "--freeze", "all"]
    timed(["-m", "ft", "run", *keys, "--epochs", "1", "--run-dir", str(folder / "run")], None, folder)
    return folder / "run"


def make_images(folder: Path, many: int) -> list[Path]:
    """JPEGs as photographs are: soft shapes and some noise."""
    folder.mkdir()
    draw, paths = np.random.default_rng(0), []
    for number in range(many):
        path = folder / f"{number:06}.jpg"
        if number < KINDS:
            shapes = Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((500, 375))
            pixels = np.asarray(shapes) + draw.normal(0, 8, (375, 500, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=82)
        else:
            os.link(paths[number % KINDS], path)
        paths.append(path)
    return paths


def timed(command: Sequence[str], stdin: Path | None, folder: Path) -> Spent:
    """What a Python process takes. Ends with what it says where it fails."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (stdin or Path(os.devnull)).open("rb") as file, (folder / "told.txt").open("wb") as told:
        done = subprocess.run([sys.executable, *command], stdin=file, stdout=told, stderr=subprocess.STDOUT)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit((folder / "told.txt").read_text())
    return Spent(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


if __name__ == "__main__":
    main()
