"""What all peers share: arguments, images, the network, and what of it trains. The loops are in the files beside it.

Every peer computes in fp32, NCHW, with two loader workers, batches of 32, AdamW and no augmentation, and validates
after each epoch. It prints one line of JSON, its last: seconds of each epoch with its validation, the best validation
accuracy, and when the last epoch ended. What it takes besides (imports, set-up, the end) is what is left of the total
that whoever started it measures.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from torchvision import transforms

BATCH_SIZE = 32
WORKERS = 2
WEIGHT_DECAY = 0.01


def arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="efficientnet-lite:lite0, or torchvision:resnet18 or its like")
    parser.add_argument("--weights", required=True, help="file of a state_dict")
    parser.add_argument("--table", type=Path, required=True, help="CSV with path, label and split (train or val)")
    parser.add_argument("--train", choices=("head", "last-stage", "all"), required=True, help="the rest is frozen")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the new head and of the order of images")
    parser.add_argument("--preprocessing", type=json.loads, required=True, help="JSON as ft's Preprocessing")
    parser.add_argument(
        "--eval-frozen",
        action="store_true",
        help="frozen layers stay in eval mode: their BatchNorm statistics do not move, and they drop nothing",
    )
    return parser.parse_args()


class Table(Dataset):
    """The images of one split, by Pillow; `transform` may be replaced."""

    def __init__(self, file: Path, split: str, transform: Callable[[Image.Image], Any] | None = None) -> None:
        with file.open() as lines:
            rows = list(csv.DictReader(lines))
        self.classes = sorted({row["label"] for row in rows})
        self.rows = [(row["path"], self.classes.index(row["label"])) for row in rows if row["split"] == split]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.rows[index]
        image = Image.open(path).convert("RGB")
        return (self.transform(image) if self.transform else image), label


def tables(args: argparse.Namespace) -> tuple[Table, Table]:
    """The training and the validation images, preprocessed as tutorials do it: on a PIL image, then ToTensor."""
    said = args.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize(said["resize_size"], transforms.InterpolationMode(said["interpolation"])),
            transforms.CenterCrop(said["crop_size"]),
            transforms.ToTensor(),
            transforms.Normalize(said["mean"], said["std"]),
        ]
    )
    return Table(args.table, "train", transform), Table(args.table, "val", transform)


def build(args: argparse.Namespace, classes: int) -> tuple[nn.Module, list[nn.Module], list[nn.Module]]:
    """The network with a new head, the modules that are to be frozen (they are not yet), and those that train."""
    torch.manual_seed(args.seed)
    if args.model == "efficientnet-lite:lite0":
        from efficientnet_lite_pytorch import EfficientNet

        net: Any = EfficientNet.from_name("efficientnet-lite0")
        head, last = "_fc", ["_conv_head", "_bn1"]
    else:
        from torchvision.models import get_model

        net = get_model(args.model.partition(":")[2], weights=None)
        head, last = "fc", ["layer4"]
    net.load_state_dict(torch.load(args.weights, weights_only=True))
    setattr(net, head, nn.Linear(getattr(net, head).in_features, classes))
    names = [name for name, child in net.named_children() if list(child.parameters())]
    train = {"head": [head], "last-stage": [*last, head], "all": names}[args.train]
    frozen = [getattr(net, name) for name in names if name not in train]
    return net, frozen, [getattr(net, name) for name in train]


def freeze(modules: Sequence[nn.Module]) -> None:
    for module in modules:
        module.requires_grad_(False)


def trainable(net: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def still(modules: Sequence[nn.Module], args: argparse.Namespace) -> None:
    """Put frozen modules back into eval mode after somebody's train(), if that is asked for."""
    if args.eval_frozen:
        for module in modules:
            module.eval()


def print_result(epochs: Sequence[float], accuracies: Sequence[float], ended: float | None = None) -> None:
    """`ended` is the time.time() at which the last epoch did; now, if it is not given."""
    print(json.dumps({"epochs": list(epochs), "accuracy": max(accuracies), "ended": ended or time.time()}), flush=True)
