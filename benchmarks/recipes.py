"""What each recipe comes to: accuracy and macro F1 on test images that nothing was chosen by, and the seconds it takes.

    python benchmarks/recipes.py                                               # solar cells, four rows, five splits
    python benchmarks/recipes.py --rows 'quick;best for cells, flip' --splits 0   # some rows, one split
    python benchmarks/recipes.py --rows all --splits 0,1
    python benchmarks/recipes.py --data digits --backbone efficientnet-lite:lite1
    python benchmarks/recipes.py --data digits --limit 200 --rows quick --splits 0      # whether it works at all

Data: `cells` (2,624 photographs of solar cells; defective where experts say with a probability of 0.5 or more),
`crystals` (the same, by module type), `digits` (scikit-learn's, 1,797 of 8 px), `fashion` (Debian's package
dataset-fashion-mnist; the first 2,000 of its training images train and validate, its first 1,000 test images test).
A quarter tests, a tenth chooses epoch or penalty, what is left trains: stratified, by the split's seed. The training
seed is 0. Each row is a whole `ft run` in a process of its own; rows share one FT_CACHE, so `features` says how many
images (and views) it computed itself: where it is 0, the seconds are those after the first feature pass.

This can be stopped and called again: a run that is finished in the folder is not run again, one that is not goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

SPLIT = ("--test-fraction", "0.25", "--val-fraction", "0.1")
RECIPES = ("quick", "linear-probe", "best", "lp-ft", "gradual", "discriminative", "surgical", "bitfit", "full")
CELLS = ("--recipe", "best", "--augment", "geometric", "--image-size", "300")
"""What these photographs allow: a cell has no upper side, and was taken at 300 px."""
SLOWLY = ("--lr", "1e-4", "--head-lr", "1e-4")
ROWS: dict[str, tuple[str, ...]] = {
    **{name: ("--recipe", name) for name in RECIPES},
    "nothing said": (),
    "head alone": ("--freeze", "all"),
    "quick, last stage alone": ("--recipe", "quick", "--head", "linear"),
    "quick, crop": ("--recipe", "quick", "--fit", "crop"),
    "quick, by accuracy": ("--recipe", "quick", "--monitor", "accuracy"),
    "quick, crop, by accuracy": ("--recipe", "quick", "--fit", "crop", "--monitor", "accuracy"),
    "nothing said, all stages": ("--head", "stages"),
    "best, BatchNorm moves": ("--recipe", "best", "--freeze", "depth:80%"),
    "best, as it was": (
        "--recipe",
        "best",
        "--freeze",
        "depth:80%",
        "--lr",
        "1e-3",
        "--head-lr",
        "1e-3",
    ),
    "best, BatchNorm moves, lr 1e-4": ("--recipe", "best", "--freeze", "depth:80%", *SLOWLY),
    "best, lr 1e-4": ("--recipe", "best", *SLOWLY),
    "best for cells, all stages": (*CELLS, "--head", "stages"),
    "best for cells": CELLS,
    "best for cells, flip": (*CELLS, "--augment", "flip"),
    "best for cells, no views": (*CELLS, "--augment", "none"),
    "best for cells, 224 px": (*CELLS, "--image-size", "224"),
    "best for cells, crop": (*CELLS, "--fit", "crop"),
    "best for cells, no average": (*CELLS, "--set", "training.ema=null"),
    "best for cells, last stage alone": (*CELLS, "--freeze", "depth:-1", "--freeze", "batchnorm"),
    "best for cells, last three stages": (*CELLS, "--freeze", "depth:-3", "--freeze", "batchnorm"),
    "best for cells, mixup at the cut": (*CELLS, "--manifold-mixup", "0.2"),
}
"""Flags by row: each recipe as it is, and `quick`, what is taken unasked and `best for cells` with one change a row."""
USUAL = ("quick", "linear-probe", "best", "best for cells")
VARIED = ("best for cells", "best for cells, all stages")
"""Rows whose models are also asked about eight views of each test image."""


@dataclass(frozen=True)
class Row:
    """What one recipe came to on one split."""

    data: str
    row: str
    split: int
    accuracy: float
    macro_f1: float
    tta_accuracy: float | None
    seconds: float | None
    computed: int


def main() -> None:
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    data = source(args.data, args.folder, args.limit)
    about = {
        "arguments": {key: str(value) for key, value in vars(args).items()},
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("ftkit", "torch", "torchvision")},
        "load": os.getloadavg(),
    }
    rows: list[Row] = []
    for name, flags in wanted(args):
        for split in args.splits:
            rows.append(run(name, [*data, *flags, *args.also], split, args))
            print(rows[-1], flush=True)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1))
    show(rows)


def wanted(args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """The name and the flags of each row."""
    for name in args.rows:
        yield name, list(ROWS[name])


def source(name: str, folder: Path, limit: int | None) -> list[str]:
    """The flags that name the data; digits and fashion are written as images first, whole or not at all."""
    if name in ("cells", "crystals"):
        return ["--data", "elpv", "--set", f"data.label={'defective' if name == 'cells' else 'type'}", *SPLIT]
    table = folder / name / "labels.csv"
    if not table.exists():
        write_images(table, fashion() if name == "fashion" else digits(), limit)
    split = ("--val-fraction", "0.13") if name == "fashion" else SPLIT  # it brings its test images
    return ["--data", f"csv:{table}", *split]


def digits() -> Iterator[tuple[np.ndarray, str, str]]:
    """Each digit [8, 8], with its label and split: none of its own."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for image, label in zip(found.images, found.target, strict=True):
        yield (image * 15.9375).astype(np.uint8), str(label), ""


def fashion() -> Iterator[tuple[np.ndarray, str, str]]:
    """Some pictures of clothes [28, 28], each with its label and split."""
    import gzip

    folder = Path("/usr/share/datasets/fashion-mnist")
    for name, split, count in (("train", "train", 2000), ("t10k", "test", 1000)):
        read = [
            gzip.decompress((folder / f"{name}-{kind}-ubyte.gz").read_bytes())
            for kind in ("images-idx3", "labels-idx1")
        ]
        pixels, labels = np.frombuffer(read[0], np.uint8, offset=16), np.frombuffer(read[1], np.uint8, offset=8)
        for image, label in zip(pixels.reshape(-1, 28, 28)[:count], labels[:count], strict=True):
            yield image, str(label), split


def write_images(table: Path, images: Iterator[tuple[np.ndarray, str, str]], limit: int | None) -> None:
    from PIL import Image

    table.parent.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,split"]
    for number, (pixels, label, split) in enumerate(images):
        if limit is None or number < limit:
            Image.fromarray(pixels).save(table.parent / f"{number}.png")
            lines.append(f"{number}.png,{label},{split}")
    if not any(line.rsplit(",", 1)[1] for line in lines[1:]):
        lines = [line.rsplit(",", 1)[0] for line in lines]
    table.write_text("\n".join(lines))


def run(name: str, flags: Sequence[str], split: int, args: argparse.Namespace) -> Row:
    """A run, or an earlier one's report where it is finished; and what test-time views make of it."""
    slug = "".join(c if c.isalnum() else "-" for c in f"{args.data}-{name}-{split}")
    own, environ = args.folder / slug, {**os.environ, "FT_CACHE": str(args.folder / "cache")}
    command = ["run", "--backbone", args.backbone, *flags, "--set", f"split.seed={split}", "--run-dir", str(own)]
    seconds = None
    if not (own / "report.json").exists():
        started = time.perf_counter()
        asked = ["run", "--resume", str(own)] if (own / "config.yaml").exists() else command
        ft(asked, environ, own.with_suffix(".log"))
        seconds = time.perf_counter() - started
        own.with_suffix(".seconds").write_text(str(seconds))
    elif own.with_suffix(".seconds").exists():
        seconds = float(own.with_suffix(".seconds").read_text())
    report = json.loads((own / "report.json").read_text())
    test, varied = report["test"], None
    if name in VARIED:
        varied = tta(own, flags, environ)
    return Row(args.data, name, split, test["accuracy"], test["macro_f1"], varied, seconds, report["cache"]["computed"])


def tta(own: Path, flags: Sequence[str], environ: dict[str, str]) -> float:
    """The accuracy on test images, each answered as the mean of its views."""
    data = [*flags[1:2], *(["--set", flags[3]] if "--set" in flags else [])]
    kept = own.with_suffix(".tta.json")
    if not kept.exists():
        found = ft(["evaluate", str(own), *data, "--split", "test", "--tta", "views:8", "--json"], environ, None)
        kept.write_text(found)
    return float(json.loads(kept.read_text())["accuracy"])


def ft(command: Sequence[str], environ: dict[str, str], log: Path | None) -> str:
    whole = [sys.executable, "-m", "ft", *command]
    if log is None:
        return subprocess.run(whole, check=True, stdout=subprocess.PIPE, text=True, env=environ).stdout
    with log.open("a") as file:
        subprocess.run(whole, check=True, stdout=file, stderr=file, env=environ)
    return ""


def show(rows: Sequence[Row]) -> None:
    """A table in Markdown: means over splits, and their standard deviation."""
    print(
        "\n| | accuracy | macro F1 | with 8 test-time views | seconds | features computed |\n|---|---|---|---|---|---|"
    )
    for name in dict.fromkeys(row.row for row in rows):
        of = [row for row in rows if row.row == name]
        varied = [row.tta_accuracy for row in of if row.tta_accuracy is not None]
        seconds = [row.seconds for row in of if row.seconds is not None]
        told = (percent([row.accuracy for row in of]), percent([row.macro_f1 for row in of]))
        took = f"{min(seconds):.0f} to {max(seconds):.0f}" if seconds else ""
        computed = ", ".join(str(row.computed) for row in of)
        print(f"| {name} | {told[0]} | {told[1]} | {percent(varied) if varied else ''} | {took} | {computed} |")


def percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f} %{spread}"


def rows_of(text: str) -> list[str]:
    """The rows that are named, separated by semicolons."""
    names = list(ROWS) if text == "all" else text.split(";")
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"there is no row '{unknown[0]}'; there are: {'; '.join(ROWS)}")
    return names


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("cells", "crystals", "digits", "fashion"), default="cells")
    parser.add_argument("--rows", type=rows_of, default=list(USUAL), help=f"all, or some of: {'; '.join(ROWS)}")
    parser.add_argument("--splits", type=lambda text: [int(each) for each in text.split(",")], default=[0, 1, 2, 3, 4])
    parser.add_argument("--backbone", default="efficientnet-lite:lite0")
    parser.add_argument("--also", type=str.split, default=[], help="flags for every row, as '--cache close'")
    parser.add_argument("--limit", type=int, help="digits and fashion: so many images")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/recipes"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/recipes.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
