"""How well a model does on a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ft.config import Config
from ft.data import Item
from ft.devices import Machine
from ft.display import Display
from ft.extensions import Preprocessing
from ft.images import ImageDataset, eval_transform
from ft.loaders import make_loader
from ft.metrics import Evaluation, count_confusion, summarise
from ft.signals import StopRequest


def evaluate(
    module: nn.Module,
    items: Sequence[Item],
    classes: Sequence[str],
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest | None = None,
) -> Evaluation:
    """Evaluate `module`, in eval mode, on `items`. Raises StopAsked when a signal asks to stop meanwhile."""
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    loss_sum = 0.0
    for logits, labels in predict_batches(module, items, preprocessing, config, machine, display, stop):
        loss_sum += float(cross_entropy(logits, labels, reduction="sum"))
        confusion += count_confusion(logits.argmax(1), labels, len(classes))
    return summarise(confusion, loss_sum / max(1, len(items)), classes)


def predict_batches(
    module: nn.Module,
    items: Sequence[Item],
    preprocessing: Preprocessing,
    config: Config,
    machine: Machine,
    display: Display,
    stop: StopRequest | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (logits [N, C] in float32, labels [N]), both on the CPU, for `items` in their order."""
    module.eval()
    dataset = ImageDataset(items, eval_transform(preprocessing), config.seed)
    loader = make_loader(dataset, config.training.batch_size, config.machine.workers, machine.device, shuffle=False)
    with closing(loader), torch.inference_mode(), display.progress("evaluating", len(loader)) as bar:
        for done, (images, labels, _) in enumerate(loader.epoch(0), start=1):
            with machine.autocast():
                logits = module(machine.send(images))
            yield logits.float().cpu(), labels
            bar.advance(done)
            if stop is not None:
                stop.check()
