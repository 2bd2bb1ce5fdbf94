"""What `ft data check --backbone` finds of what was planted: wrong labels beside cleanlab, copies beside imagededup.

    python benchmarks/label_noise.py [SEED]

Data: the 2,624 photographs of solar cells (elpv) as EfficientNet-Lite0 sees them. 5 % of the labels are flipped, drawn
from the seed; cleanlab judges the same probabilities. Of 200 other cells a copy each is hidden in the set, in a split
drawn for it: reduced to a half or a third, compressed anew, mirrored, or mirrored and compressed. imagededup's hashes,
where it is installed, look at the same files. What counts as a copy is what was planted; pairs of
the data set itself that are found are counted apart, and some of them do show the same crystal.

Seconds are of the wall and of the processor, for everything but the features; the load of the machine is printed.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image

from ft.config.loading import load_config
from ft.data.load import load_data
from ft.data.targets import targets_of
from ft.extension.installed import Plugins, load_plugins
from ft.gathering import Gathered, config_to_gather, gather
from ft.insight.components import principal_components
from ft.insight.records import Known
from ft.judging import ask_out_of_sample
from ft.knowing import COMPONENTS, know
from ft.machine.display import Display

SHARE, COPIES = 0.05, 200
FLIP = {"defective": "functional", "functional": "defective"}
MIRROR = Image.Transpose.FLIP_LEFT_RIGHT


def resized(share: float) -> Callable[[Image.Image], tuple[Image.Image, dict[str, int]]]:
    return lambda image: (image.resize((round(image.width * share),) * 2, Image.Resampling.BICUBIC), {})


CHANGES: dict[str, Callable[[Image.Image], tuple[Image.Image, dict[str, int]]]] = {
    "half": resized(1 / 2),
    "third": resized(1 / 3),
    "quality 30": lambda image: (image, {"quality": 30}),
    "mirrored": lambda image: (image.transpose(MIRROR), {}),
    "mirrored, quality 50": lambda image: (image.transpose(MIRROR), {"quality": 50}),
}


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    plugins, display = load_plugins(), Display()
    with tempfile.TemporaryDirectory() as folder:
        table, flipped, copies = plant(Path(folder), seed, plugins)
        config = config_to_gather(f"csv:{table}", {"backbone": "efficientnet-lite:lite0"}, [])
        gathered = gather(config, plugins, display)
        load, processor = os.getloadavg()[0], time.process_time()
        known = know(gathered, plugins, display)
        spent = time.process_time() - processor
        print(f"seed {seed}, {known.images} images, {os.cpu_count()} cores, load {load:.1f} before")
        print(f"after features: {known.seconds:.1f} s, {spent:.1f} s of the processor")
        labels(known, gathered, flipped, plugins, display)
        found_copies(known, copies)
        deduplicated({item.picture.path for item in gathered.items if item.picture.path}, copies)


def plant(folder: Path, seed: int, plugins: Plugins) -> tuple[Path, set[str], dict[str, tuple[str, str]]]:
    """Write a table of the cells with wrong labels and copies; return which are flipped, and of each copy the path of
    the original and what was done to it."""
    data = load_data(load_config(None, [], {"backbone": "x:y", "data": "elpv"}), plugins)
    rows = [[item.picture.name, str(item.label), split] for split, items in data.parts.items() for item in items]
    draw = random.Random(seed)
    drawn = draw.sample(range(len(rows)), round(SHARE * len(rows)) + COPIES)
    flipped, copied = drawn[COPIES:], drawn[:COPIES]
    for place in flipped:
        rows[place][1] = FLIP[rows[place][1]]
    copies: dict[str, tuple[str, str]] = {}
    for number, place in enumerate(copied):
        kind = list(CHANGES)[number % len(CHANGES)]
        path, label, _ = rows[place]
        with Image.open(path) as image:
            changed, how = CHANGES[kind](image.convert("L"))
        copy = folder / f"copy{number}.{'jpg' if how else 'png'}"
        changed.save(copy, **how)
        rows.append([str(copy), label, draw.choice(["train", "val"])])
        copies[str(copy)] = (path, kind)
    table = folder / "cells.csv"
    table.write_text("\n".join(",".join(row) for row in [["path", "label", "split"], *rows]) + "\n")
    return table, {rows[place][0] for place in flipped}, copies


def figures(name: str, found: Iterable[str], planted: set[str]) -> None:
    found = list(found)
    right = len(planted & set(found))
    print(f"  {name:32s} {len(found):5d} found, precision {right / max(1, len(found)):.3f}, recall", end=" ")
    print(f"{right / len(planted):.3f}")


def labels(known: Known, gathered: Gathered, flipped: set[str], plugins: Plugins, display: Display) -> None:
    print(f"labels, {len(flipped)} flipped:")
    figures("ft", (each.path for each in known.labels), flipped)
    from cleanlab.filter import find_label_issues

    components = principal_components(gathered.features, COMPONENTS)
    _, answered = ask_out_of_sample(gathered, components, plugins, display)
    probabilities = answered.outputs.softmax(1)
    given = targets_of(gathered.items)
    for method in ("confident_learning", "prune_by_noise_rate", "low_normalized_margin"):
        places = find_label_issues(
            given.numpy(),
            probabilities.numpy(),
            filter_by=method,
            return_indices_ranked_by="normalized_margin",
            n_jobs=1,
        )
        figures(f"cleanlab, {method}", (gathered.items[int(place)].picture.name for place in places), flipped)


def found_copies(known: Known, copies: dict[str, tuple[str, str]]) -> None:
    pairs = {frozenset(each.paths) for each in known.copies}
    report("ft", pairs, copies)


def report(name: str, pairs: set[frozenset[str]], copies: dict[str, tuple[str, str]]) -> None:
    """Recall of planted pairs by kind, and how many pairs of cells that nobody planted are found besides."""
    planted = {frozenset((copy, path)): kind for copy, (path, kind) in copies.items()}
    kinds = {kind: [pair in pairs for pair, of in planted.items() if of == kind] for kind in CHANGES}
    said = ", ".join(f"{kind} {sum(hit) / len(hit):.2f}" for kind, hit in kinds.items())
    others = sum(1 for pair in pairs if pair not in planted)
    print(f"copies, {name}: recall {sum(pair in pairs for pair in planted) / len(planted):.3f} ({said}); ", end="")
    print(f"{others} other pairs")


def deduplicated(paths: set[Path], copies: dict[str, tuple[str, str]]) -> None:
    try:
        from imagededup.methods import DHash, PHash
    except ImportError:
        print("imagededup is not installed")
        return
    by_name: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(sorted(paths)):
            name = f"{number}{path.suffix}"
            (Path(folder) / name).symlink_to(path)
            by_name[name] = str(path)
        for method in (PHash(verbose=False), DHash(verbose=False)):
            for distance in (4, 10):
                found = method.find_duplicates(
                    image_dir=folder,
                    max_distance_threshold=distance,
                    num_enc_workers=0,
                    num_dist_workers=0,
                )
                pairs = {frozenset((by_name[a], by_name[b])) for a, those in found.items() for b in those}
                report(f"imagededup {type(method).__name__} within {distance} bits", pairs, copies)


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    main()
