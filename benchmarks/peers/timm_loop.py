"""timm's training, put together from timm's own parts as its train.py does, which is not in the package.

Taken from timm: create_loader (workers persist, uint8 batches, normalised after the workers), create_transform,
create_optimizer_v2, create_scheduler_v2 (warm-up and cosine, a step at a time), accuracy and AverageMeter; from
train.py, in a few lines, train_one_epoch and validate. As there, a last short batch is dropped in training. Left out,
in timm's favour: checkpoints, logging, EMA, mixup. The network is everybody's; what is frozen is set by hand, because
timm.utils.freeze makes BatchNorm slower.
"""

from __future__ import annotations

import time

import torch
from common import BATCH_SIZE, WEIGHT_DECAY, WORKERS, Table, arguments, build, freeze, print_result, still
from timm.data import create_loader, create_transform
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, accuracy
from torch import nn


def make_loader(table: Table, is_training: bool, said: dict) -> torch.utils.data.DataLoader:
    size, crop = said["crop_size"], said["crop_size"] / said["resize_size"]
    loader = create_loader(
        table,
        input_size=size,
        batch_size=BATCH_SIZE,
        is_training=is_training,
        no_aug=True,
        interpolation=said["interpolation"],
        mean=said["mean"],
        std=said["std"],
        num_workers=WORKERS,
        crop_pct=crop,
        device=torch.device("cpu"),
    )
    # Without augmentation timm would resize training images to 224 px; here they are preprocessed like the others.
    table.transform = create_transform(size, interpolation=said["interpolation"], crop_pct=crop, use_prefetcher=True)
    return loader


def main() -> None:
    args = arguments(__doc__)
    train, val = Table(args.table, "train"), Table(args.table, "val")
    train_loader = make_loader(train, True, args.preprocessing)
    val_loader = make_loader(val, False, args.preprocessing)
    net, frozen, _ = build(args, len(train.classes))
    freeze(frozen)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = create_optimizer_v2(net, opt="adamw", lr=args.lr, weight_decay=WEIGHT_DECAY)
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        num_epochs=args.epochs,
        warmup_epochs=1 if args.epochs > 1 else 0,
        step_on_epochs=False,
        updates_per_epoch=len(train_loader),
    )
    seconds, accuracies = [], []
    for epoch in range(epochs):
        started = time.perf_counter()
        losses = AverageMeter()
        net.train()
        still(frozen, args)
        updates = epoch * len(train_loader)
        for images, labels in train_loader:
            loss = loss_fn(net(images), labels)
            losses.update(loss.item(), len(labels))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            updates += 1
            scheduler.step_update(num_updates=updates, metric=losses.avg)
        top1 = AverageMeter()
        net.eval()
        with torch.no_grad():
            for images, labels in val_loader:
                top1.update(accuracy(net(images), labels)[0].item() / 100, len(labels))
        scheduler.step(epoch + 1, top1.avg)
        accuracies.append(top1.avg)
        seconds.append(time.perf_counter() - started)
    print_result(seconds, accuracies)


if __name__ == "__main__":
    main()
