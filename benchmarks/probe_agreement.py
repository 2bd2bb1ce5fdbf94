"""How well the figures of `ft probe` order backbones and depths as fine-tuning does: Spearman's rank correlation.

    python benchmarks/probe_agreement.py --seeds 0,1 --out build/bench/probe_agreement.json

Data: photographs of solar cells (elpv), as many as --images, drawn from the seed, a third of them set aside. A pair is
a backbone with ImageNet weights and a depth. Its probe is the accuracy of linear heads on what the backbone gives at
that depth, of all these images, each asked of heads that did not see it. Its fine-tuning trains everything behind that
depth on the other two thirds for --epochs, and is judged after the last one on the third that is set aside: nothing is
chosen by it. Both are means over the seeds, each with its own images, split and order.

The correlation is given over all pairs, and over the backbones at each depth, and for each seed beside it; NaN where
all figures of one side are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from scipy.stats import spearmanr

import ft
from ft.config.loading import load_config
from ft.data.load import load_data
from ft.extension.installed import Plugins, load_plugins
from ft.gathering import config_to_gather
from ft.machine.display import Display
from ft.probing import probe

BACKBONES = ("efficientnet-lite:lite0", "efficientnet-lite:lite1", "efficientnet-lite:lite2")
DEPTHS = ("stage3", "stage5", "conv_head")
FOLDS = 5
Pair = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    plugins, seeds = load_plugins(), [int(each) for each in asked.seeds.split(",")]
    probed, tuned, started = list[dict[Pair, float]](), list[dict[Pair, float]](), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            table = drawn(Path(folder) / f"{seed}.csv", asked.images, seed, plugins)
            probed.append(probes(table, asked.size, plugins))
            runs = Path(folder) / f"runs-{seed}"
            tuned.append({pair: fine_tuned(pair, table, runs, asked, seed) for pair in probed[-1]})
            said = {" ".join(pair): (probed[-1][pair], tuned[-1][pair]) for pair in probed[-1]}
            print(f"seed {seed}: {json.dumps(said)}", f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    found = agreement(probed, tuned) | {
        "seeds": seeds,
        **{key: getattr(asked, key) for key in ("images", "size", "epochs")},
    }
    found["minutes"] = (time.perf_counter() - started) / 60
    print(json.dumps(found, indent=2))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(found, indent=2), encoding="utf-8")


def drawn(table: Path, images: int, seed: int, plugins: Plugins) -> Path:
    """Write a table of so many cells, a third of them for validation."""
    data = load_data(load_config(None, [], {"backbone": "x:y", "data": "elpv"}), plugins)
    items = random.Random(seed).sample(data.items, images)
    rows = [
        f"{item.picture.path},{item.label},{'val' if number % 3 == 0 else 'train'}" for number, item in enumerate(items)
    ]
    table.write_text("\n".join(["path,label,split", *rows]) + "\n", encoding="utf-8")
    return table


def probes(table: Path, size: int, plugins: Plugins) -> dict[Pair, float]:
    configs = [
        config_to_gather(f"csv:{table}", {"backbone": name}, [f"images.size={size}", "machine.workers=0"])
        for name in BACKBONES
    ]
    found = probe(configs, ["linear"], FOLDS, plugins, Display())
    return {(each.backbone, each.stage): each.figures["accuracy"] for each in found.depths if each.stage in DEPTHS}


def fine_tuned(pair: Pair, table: Path, runs: Path, asked: argparse.Namespace, seed: int) -> float:
    """The accuracy on the images that were set aside, after the last epoch."""
    backbone, stage = pair
    done = ft.finetune(
        backbone=backbone,
        data=f"csv:{table}",
        freeze=f"until:{stage}",
        image_size=asked.size,
        epochs=asked.epochs,
        seed=seed,
        augment="flip",
        precision="fp32",
        workers=0,
        run_dir=runs / backbone.replace(":", "-") / stage,
        report={"html": False},
    )
    last = (done.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    return float(json.loads(last)["val_accuracy"])


def agreement(probed: Sequence[Mapping[Pair, float]], tuned: Sequence[Mapping[Pair, float]]) -> dict[str, object]:
    """Spearman's rank correlations of the means over the seeds, with those of each seed beside them."""

    def over(pairs: Sequence[Pair]) -> dict[str, object]:
        each = [
            spearman([p[pair] for pair in pairs], [t[pair] for pair in pairs])
            for p, t in zip(probed, tuned, strict=True)
        ]
        means = ([fmean(some[pair] for some in figures) for pair in pairs] for figures in (probed, tuned))
        return {"of the means": spearman(*means), "by seed": each}

    pairs = list(probed[0])
    table = {
        " ".join(pair): {"probe": [p[pair] for p in probed], "fine-tuned": [t[pair] for t in tuned]} for pair in pairs
    }
    by_depth = {depth: over([pair for pair in pairs if pair[1] == depth]) for depth in DEPTHS}
    return {"pairs": len(pairs), "all": over(pairs), "by depth": by_depth, "figures": table}


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    return float(spearmanr(one, other).statistic)


if __name__ == "__main__":
    main()
