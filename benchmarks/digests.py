"""What a dozen seeded runs come to, as digests: code that only moves must leave every one of them as it was.

    python benchmarks/digests.py --out before.json
    python benchmarks/digests.py --compare before.json

Each run is a process of its own, as a user starts it, with an empty cache, one thread and the demo images: *exact*,
*close*, *fast* and the plain loop, on two networks, under several freezes, with views and augmentation, solved, and
resumed. A digest stands for the tensors of the saved model, the figures of its report, and its plan. Both commands
have to run on one machine with one torch: the bits of a sum differ between processors. Takes about three minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

RESNET = ("--backbone", "torchvision:resnet18", "--image-size", "32", "--precision", "fp32")
MOBILENET = ("--backbone", "torchvision:mobilenet_v3_small", "--image-size", "32", "--precision", "fp32")
NEW = ("--weights", "none", "--data", "demo", "--device", "cpu")
SAME = ("--augment", "none")
VIEWS = ("--augment", "standard", "--views", "2", "--epochs", "4")
RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "head, exact": ((*RESNET, "--freeze", "all", "--cache", "exact"),),
    "head, close": ((*RESNET, "--freeze", "all", "--cache", "close"),),
    "head, fast": ((*RESNET, "--freeze", "all", "--cache", "fast"),),
    "head, plain loop": ((*RESNET, "--freeze", "all", "--cache", "off"),),
    "head, L-BFGS": ((*RESNET, "--freeze", "all", "--optimizer", "lbfgs", "--cache", "exact"),),
    "head, bf16": (("--backbone", "torchvision:resnet18", "--image-size", "32", "--precision", "bf16"),),
    "last stage, exact": ((*RESNET, "--freeze", "all", "--train", "regex:layer4.*", "--cache", "exact", *SAME),),
    "last stage, views": ((*RESNET, "--freeze", "all", "--train", "regex:layer4.*", "--cache", "exact", *VIEWS),),
    "last stage, fast, SGD": (
        (
            *MOBILENET,
            *SAME,
            "--freeze",
            "depth:80%",
            "--cache",
            "fast",
            "--optimizer",
            "sgd",
            "--label-smoothing",
            "0.1",
        ),
    ),
    "everything": ((*MOBILENET, "--augment", "strong", "--mixup", "0.2"),),
    "an mlp, class weights": ((*MOBILENET, "--freeze", "all", "--head", "mlp", "--class-weights", "balanced"),),
    "resumed, exact": ((*RESNET, "--freeze", "all", "--cache", "exact"), ("--epochs", "4")),
    "resumed, another freeze": (
        (*MOBILENET, "--freeze", "all", "--cache", "fast", "--epochs", "2"),
        ("--freeze", "depth:50%", "--cache", "off", "--epochs", "3"),
    ),
    "resumed, plain loop, views": ((*MOBILENET, "--cache", "off", *VIEWS), ("--epochs", "5")),
}
"""A run's command lines; each after the first goes on from where the one before it stopped."""
MACHINE_AND_TIME = ("versions", "cache", "seconds", "images_per_second", "speedup", "paces", "run", "path")
"""Parts of report and plan that tell of the machine, of the time, and of where files lie."""
SAID_TWICE = ("optimizer",)
"""Parts of a plan that follow from its recipe."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the digests into this file")
    parser.add_argument("--compare", type=Path, help="compare with the digests in this file; status 1 if one differs")
    options = parser.parse_args()
    found = {}
    for name, lines in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = digest_of(run(lines, Path(folder)))
        print(f"{found[name]['all']}  {name}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if options.compare:
        before = json.loads(options.compare.read_text())
        different = {
            name: [part for part in found[name] if found[name][part] != before.get(name, {}).get(part)]
            for name in found
            if found[name] != before.get(name)
        }
        for name, parts in different.items():
            print(f"differs: {name}: {', '.join(parts)}")
        print(f"{len(different)} of {len(found)} differ")
        sys.exit(1 if different else 0)


def run(lines: tuple[tuple[str, ...], ...], folder: Path) -> Path:
    """Do these command lines in a fresh folder with a fresh cache; returns the folder of the run."""
    environment = {**os.environ, "FT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    for number, line in enumerate(lines):
        begin = ("--resume", "run") if number else (*NEW, "--run-dir", "run")
        subset = () if number or "--epochs" in line else ("--epochs", "2")
        command = (
            sys.executable,
            "-m",
            "ft",
            "run",
            *begin,
            *line,
            *subset,
        )
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "run"


def digest_of(folder: Path) -> dict[str, str]:
    """Short digests of the run's tensors, figures and plan, and of all of them."""
    tensors = hashlib.sha256()
    with safe_open(folder / "model.safetensors", "np") as file:  # bfloat16 is never saved
        for key in sorted(file.keys()):
            value = file.get_tensor(key)
            tensors.update(f"{key} {value.dtype} {value.shape}".encode() + value.tobytes())
    digests = {"model": tensors.hexdigest()[:16]}
    for part in ("report", "plan"):
        digests[part] = _short(_without(json.loads((folder / f"{part}.json").read_text())))
    return {**digests, "all": _short(digests)}


def _without(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without(value) for key, value in tree.items() if key not in (*MACHINE_AND_TIME, *SAID_TWICE)}
    return [_without(value) for value in tree] if isinstance(tree, list) else tree


def _short(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
