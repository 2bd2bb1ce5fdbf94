"""Lightning's Trainer with its BackboneFinetuning callback, which freezes the backbone for the whole run.

On its own the callback leaves the weights of BatchNorm trainable, whatever its train_bn says, so a backward pass runs
through the whole backbone; with --eval-frozen they are frozen, too. Left out, in Lightning's favour: checkpoints,
loggers, the progress bar and the sanity check.
"""

from __future__ import annotations

import argparse
import math
import time

import lightning
import torch
from common import BATCH_SIZE, WEIGHT_DECAY, WORKERS, arguments, build, print_result, still, tables, trainable
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import nn
from torch.utils.data import DataLoader


class Freezing(BackboneFinetuning):
    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(unfreeze_backbone_at_epoch=args.epochs + 1, train_bn=not args.eval_frozen)

    def freeze_before_training(self, pl_module: lightning.LightningModule) -> None:
        self.freeze(pl_module.backbone, train_bn=self.train_bn)


class Classifier(lightning.LightningModule):
    def __init__(self, net: nn.Module, frozen: list[nn.Module], args: argparse.Namespace) -> None:
        super().__init__()
        self.net, self.args = net, args
        self.backbone = nn.ModuleList(frozen)  # the callback freezes what has this name
        self.seconds: list[float] = []
        self.accuracies: list[float] = []

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()
        still(self.backbone, self.args)

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images), labels)

    def on_validation_epoch_start(self) -> None:
        self.hits = self.seen = 0

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        images, labels = batch
        self.hits += int((self.net(images).argmax(1) == labels).sum())
        self.seen += len(labels)

    def on_validation_epoch_end(self) -> None:
        self.accuracies.append(self.hits / self.seen)

    def on_train_epoch_end(self) -> None:  # comes after the epoch's validation
        self.seconds.append(time.perf_counter() - self.started)
        self.ended = time.time()

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(trainable(self), lr=self.args.lr, weight_decay=WEIGHT_DECAY)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, steps // self.args.epochs)

        def factor(step: int) -> float:
            return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main() -> None:
    args = arguments(__doc__)
    lightning.seed_everything(args.seed)
    train, val = tables(args)
    net, frozen, _ = build(args, len(train.classes))
    model = Classifier(net, frozen, args)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=args.epochs,
        callbacks=[Freezing(args)] if frozen else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        model,
        DataLoader(train, batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS),
        DataLoader(val, batch_size=BATCH_SIZE, num_workers=WORKERS),
    )
    print_result(model.seconds, model.accuracies, model.ended)


if __name__ == "__main__":
    main()
