"""The Hugging Face Trainer, around a module that takes and returns what the Trainer expects.

Left out, in its favour: checkpoints, logging and the progress bar.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from typing import Any

import torch
from common import BATCH_SIZE, WEIGHT_DECAY, WORKERS, Table, arguments, build, freeze, print_result, still, tables
from torch import nn
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments


class Named(Dataset):
    """A table's images under the names that the Trainer knows."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image, label = self.table[index]
        return {"pixel_values": image, "labels": label}


class Classifier(nn.Module):
    def __init__(self, net: nn.Module, frozen: list[nn.Module], args: argparse.Namespace) -> None:
        super().__init__()
        self.net, self.frozen, self.args = net, frozen, args

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        still(self.frozen, self.args)  # the Trainer calls train() before each step
        return self

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.accuracies: list[float] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.started = time.perf_counter()

    def on_evaluate(self, *_: Any, metrics: dict[str, float], **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        self.ended = time.time()
        self.accuracies.append(metrics["eval_accuracy"])


def accuracy(predicted: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((predicted.predictions.argmax(1) == predicted.label_ids).mean())}


def main() -> None:
    args = arguments(__doc__)
    train, val = tables(args)
    net, frozen, _ = build(args, len(train.classes))
    freeze(frozen)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            seed=args.seed,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            learning_rate=args.lr,
            weight_decay=WEIGHT_DECAY,
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(len(train) / BATCH_SIZE) if args.epochs > 1 else 0,
            dataloader_num_workers=WORKERS,
            dataloader_pin_memory=False,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=Classifier(net, frozen, args),
            args=settings,
            train_dataset=Named(train),
            eval_dataset=Named(val),
            compute_metrics=accuracy,
            callbacks=[clock],
        )
        trainer.train()
    print_result(clock.seconds, clock.accuracies, clock.ended)


if __name__ == "__main__":
    main()
