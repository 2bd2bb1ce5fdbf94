"""The loop that people copy: PIL and ToTensor, fp32, NCHW, two loader workers, the whole network in every epoch.

Frozen layers have requires_grad = False and, as in tutorials, whatever mode net.train() gives them.
"""

from __future__ import annotations

import time

import torch
from common import BATCH_SIZE, WEIGHT_DECAY, WORKERS, arguments, build, freeze, print_result, still, tables, trainable
from torch import nn
from torch.utils.data import DataLoader


def main() -> None:
    args = arguments(__doc__)
    train, val = tables(args)
    train_loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS)
    val_loader = DataLoader(val, batch_size=BATCH_SIZE, num_workers=WORKERS)
    net, frozen, _ = build(args, len(train.classes))
    freeze(frozen)
    optimizer = torch.optim.AdamW(trainable(net), lr=args.lr, weight_decay=WEIGHT_DECAY)
    seconds, accuracies = [], []
    for _ in range(args.epochs):
        started = time.perf_counter()
        net.train()
        still(frozen, args)
        for images, labels in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()
        net.eval()
        hits = 0
        with torch.no_grad():
            for images, labels in val_loader:
                hits += int((net(images).argmax(1) == labels).sum())
        accuracies.append(hits / len(val))
        seconds.append(time.perf_counter() - started)
    print_result(seconds, accuracies)


if __name__ == "__main__":
    main()
