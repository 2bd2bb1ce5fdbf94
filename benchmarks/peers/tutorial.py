"""The loop that people copy: PIL and ToTensor, fp32, NCHW, two loader workers, the whole network in every epoch.

Run by benchmarks/frozen_prefix.py, in a process of its own: tutorial.py MODEL WEIGHTS CSV EPOCHS LR FREEZE
"""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Table(Dataset):
    def __init__(self, rows: list[dict[str, str]], classes: list[str], transform: transforms.Compose) -> None:
        self.rows, self.classes, self.transform = rows, classes, transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = self.rows[index]
        return self.transform(Image.open(row["path"]).convert("RGB")), self.classes.index(row["label"])


def build(model: str, weights: str, classes: int) -> tuple[nn.Module, nn.Module]:
    if model == "efficientnet-lite:lite0":
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(weights, weights_only=True))
        net._fc = nn.Linear(net._fc.in_features, classes)
        return net, net._fc
    from torchvision.models import get_model

    net = get_model(model.partition(":")[2], weights=None)
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.fc = nn.Linear(net.fc.in_features, classes)
    return net, net.fc


def main() -> None:
    model, weights, table, epochs, lr, freeze = sys.argv[1:]
    started = time.perf_counter()
    with Path(table).open() as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    mean, std = ((0.498,) * 3, (0.502,) * 3) if "lite" in model else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    transform = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    loaders = {
        split: DataLoader(
            Table([row for row in rows if row["split"] == split], classes, transform),
            batch_size=32,
            shuffle=split == "train",
            num_workers=2,
        )
        for split in ("train", "val")
    }
    torch.manual_seed(0)
    net, head = build(model, weights, len(classes))
    if freeze == "all":
        for parameter in net.parameters():
            parameter.requires_grad = False
        for parameter in head.parameters():
            parameter.requires_grad = True
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=float(lr))
    seconds, accuracies = [], []
    for _ in range(int(epochs)):
        epoch_started = time.perf_counter()
        net.train()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        net.eval()
        hits = 0
        with torch.no_grad():
            for images, labels in loaders["val"]:
                hits += int((net(images).argmax(1) == labels).sum())
        accuracies.append(hits / len(loaders["val"].dataset))
        seconds.append(time.perf_counter() - epoch_started)
    total = time.perf_counter() - started
    print(json.dumps({"total": total, "epochs": seconds, "accuracy": max(accuracies)}))


if __name__ == "__main__":
    main()
