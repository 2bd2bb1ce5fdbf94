"""What computing the frozen prefix once is worth: whole runs beside other people's loops, in one sitting, in turn.

    python benchmarks/frozen_prefix.py                                              # EfficientNet-Lite0, the head
    python benchmarks/frozen_prefix.py --model torchvision:resnet18 --train last-stage
    python benchmarks/frozen_prefix.py --model torchvision:resnet18 --train all --seeds 0,1,2 --peers plain
    python benchmarks/frozen_prefix.py --peer-epochs 3    # other peers than the plain loop run 3; the rest is computed
    python benchmarks/frozen_prefix.py --images 96 --epochs 2                            # whether it works at all

Data: 2,624 photographs of solar cells at 224 px, split 75/25, without augmentation. Each run is a process of its own
and starts cold: imports, weights, features and all. Everybody gets the same weights (real ones where a package carries
them, EfficientNet-Lite0, else random ones), preprocessing, batch size, AdamW and peak learning rate. The plain loop is
as tutorials have it; for the other peers, and "plain aligned", frozen layers stay in eval mode, as ft keeps them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring import Failed, measure, memory_of_torch
from results import PLAIN, Result, ceilings, result, show

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    script: str
    needs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ("--eval-frozen",)


PEERS = {
    PLAIN: Peer("tutorial.py", flags=()),
    "plain aligned": Peer("tutorial.py"),
    "timm": Peer("timm_loop.py", ("timm",)),
    "lightning": Peer("lightning_finetuning.py", ("lightning",)),
    "huggingface": Peer("huggingface_trainer.py", ("transformers", "accelerate")),
    "fastai": Peer("fastai_learner.py", ("fastai",)),
}
FT = {  # where nothing is frozen, what --cache keeps is decoded images
    "fp32": ("--cache", "off", "--precision", "fp32"),
    "exact": ("--cache", "exact"),
    "close": ("--cache", "close", "--precision", "fp32"),
    "fast": ("--cache", "fast"),
}
USUAL = {"head": "exact,close,fast", "last-stage": "fp32,exact,close,fast", "all": "exact,fast"}
LR = {"head": 0.003, "last-stage": 0.0003, "all": 0.0003}
BEFORE_LAST_STAGE = {"efficientnet-lite:lite0": "until:stage7"}


def main() -> None:
    args = arguments()
    missing = {name: [p for p in PEERS[name].needs if not importlib.util.find_spec(p)] for name in args.peers}
    for name, packages in missing.items():
        if packages:
            print(f"{name} is left out: {' and '.join(packages)} not installed; pip install 'ftkit[bench]'")
    args.peers = [name for name in args.peers if not missing[name]]
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {**os.environ, "FT_CACHE": str(folder / "plan")}
        given = ask([HERE / "cells.py", args.model, str(args.images), folder], environ)
        command = ["-c", "from ft.cli import main; main()", "plan", "--json", *ft_flags(args, given, args.lr, 0)]
        plan = ask(command, environ)["plan"]
        limits = ceilings(plan["cache"], given["images"], args.epochs)
        torch_mb = memory_of_torch(folder, environ)
        about = {
            "arguments": {key: str(value) for key, value in vars(args).items()},
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "versions": {package: version(package) for package in ("torch", "torchvision", "ftkit")},
            "images": given["images"],
            "ceilings": dict(zip(("step", "epoch", "run"), limits, strict=True)),
            "torch_mb": torch_mb,
        }
        print(f"{about['machine']}, torch {version('torch')}; {args.model}, trains: {args.train}, {args.epochs} epochs")
        if "fast" in args.ft and plan["precision"] == "fp32":
            print("bf16 is emulated on this processor: ft takes close for fast, in fp32")
        print(f"images {given['images']}, rounds {args.rounds}, seeds {args.seeds}", flush=True)
        for each in runs(args, given, folder):
            results.append(each)
            print(f"round {each.round + 1}, seed {each.seed}: {each.line()}", flush=True)
            if args.out:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps({**about, "runs": [asdict(r) for r in results]}, indent=1) + "\n")
    show(results, limits, torch_mb)
    sys.exit(any(each.error for each in results))


def runs(args: argparse.Namespace, given: dict[str, Any], folder: Path) -> Iterator[Result]:
    """Everything once for each seed and round, in turn."""
    for number in range(args.rounds):
        for seed in args.seeds:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                for name in args.peers:
                    yield attempt(run_peer, (name, number, seed), args, given, Path(own))
                for promise in args.ft:
                    yield attempt(run_ft, (f"ft {promise}", number, seed), args, given, Path(own))
                    if args.train == "head":
                        yield attempt(run_ft, (f"ft {promise}, other rate", number, seed), args, given, Path(own))


def attempt(run: Any, key: tuple[str, int, int], args: argparse.Namespace, given: dict[str, Any], own: Path) -> Result:
    """One that fails does not end the others."""
    try:
        done: Result = run(key, args, given, own)
    except Failed as error:
        return Result(*key, args.epochs, error=str(error))
    return done


def run_peer(key: tuple[str, int, int], args: argparse.Namespace, given: dict[str, Any], own: Path) -> Result:
    name, _, seed = key
    epochs = args.plain_epochs if name == PLAIN else args.peer_epochs
    command = [sys.executable, HERE / "peers" / PEERS[name].script, *PEERS[name].flags]
    command += ["--model", args.model, "--weights", given["weights"], "--table", given["table"], "--train", args.train]
    command += ["--epochs", str(epochs or args.epochs), "--lr", str(args.lr), "--seed", str(seed)]
    measured = measure([*command, "--preprocessing", json.dumps(given["preprocessing"])], own, os.environ)
    said = json.loads(measured.stdout.splitlines()[-1])
    return result(key, args.epochs, measured, said["epochs"], said["accuracy"], said["ended"])


def run_ft(key: tuple[str, int, int], args: argparse.Namespace, given: dict[str, Any], own: Path) -> Result:
    name, _, seed = key
    promise, again = name.removeprefix("ft ").partition(",")[::2]
    folder = own / name.replace(" ", "-").replace(",", "")
    folder.mkdir()
    lr = args.lr * 2 / 3 if again else args.lr
    command = [sys.executable, HERE / "counting_ft.py", "run", *ft_flags(args, given, lr, seed), *FT[promise]]
    decoded = folder / "decoded"
    environ = {**os.environ, "FT_CACHE": str(own / f"cache-{promise}"), "DECODED": str(decoded)}
    measured = measure([*command, "--run-dir", folder / "run"], folder, environ)
    metrics = folder / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    accuracy, ended = max(row["val_accuracy"] for row in rows), metrics.stat().st_mtime
    return result(key, args.epochs, measured, [r["seconds"] for r in rows], accuracy, ended, decoded.stat().st_size)


def ft_flags(args: argparse.Namespace, given: dict[str, Any], lr: float, seed: int) -> list[str]:
    before_last = BEFORE_LAST_STAGE.get(args.model, "until:layer3")
    freeze = {"head": ["--freeze", "all"], "last-stage": ["--freeze", before_last], "all": ["--freeze", "none"]}[
        args.train
    ]
    flags = ["--backbone", args.model, "--weights", f"local:{given['weights']}", "--data", f"csv:{given['table']}"]
    flags += ["--augment", "none", "--epochs", str(args.epochs), "--lr", str(lr), "--seed", str(seed)]
    return [*flags, *freeze]


def ask(command: list[Any], environ: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True, env=environ)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def listed(text: str) -> list[str]:
        return [each.strip() for each in text.split(",") if each.strip()]

    parser.add_argument("--model", default="efficientnet-lite:lite0", help="that, or a ResNet of torchvision")
    parser.add_argument("--train", choices=tuple(USUAL), default="head", help="what trains; the rest is frozen")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--plain-epochs", type=int, help="that many for the plain loop; the rest is computed")
    parser.add_argument("--peer-epochs", type=int, help="that many for the other peers; the rest is computed")
    parser.add_argument("--rounds", type=int, default=1, help="everything so often, for each seed")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in listed(text)], default=[0])
    parser.add_argument("--images", type=int, default=0, help="only so many, for a quick trial")
    parser.add_argument("--lr", type=float, help="peak learning rate; default: 0.003 for a head, else 0.0003")
    parser.add_argument("--peers", type=listed, default=list(PEERS), help=f"of {', '.join(PEERS)}")
    parser.add_argument("--ft", type=listed, help=f"of {', '.join(FT)}")
    parser.add_argument("--out", type=Path, help="JSON of all results, written anew after each run")
    args = parser.parse_args()
    args.lr = args.lr or LR[args.train]
    args.ft = listed(USUAL[args.train]) if args.ft is None else args.ft
    for name in [*(set(args.peers) - set(PEERS)), *(set(args.ft) - set(FT))]:
        parser.error(f"there is no '{name}'; peers are {', '.join(PEERS)}, and for ft {', '.join(FT)}")
    return args


if __name__ == "__main__":
    main()
