"""timm's training with settings for fine-tuning, put together from timm's own parts as its train.py does.

Everything trains, as train.py has no option for anything else: AdamW at 5e-4, a step-wise warm-up and cosine,
RandAugment (of magnitude 7: at its usual 9 it asks Pillow for no bits at all) and random erasing, smoothed labels, an
exponential moving average of the weights, which is what is tested.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from common import Table
from minutes import answer, epochs_that_fit, given, network, since_start
from timm.data import create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3

STEPS = 10
"""Steps that are measured, after a few at which loaders and threads begin."""
SEEN = {
    "input_size": 224,
    "batch_size": 32,
    "num_workers": 2,
    "device": torch.device("cpu"),
    "persistent_workers": False,
}


def main() -> None:
    said = given()
    torch.manual_seed(said.seed)
    train, test = Table(said.table, "train"), Table(said.table, "test")
    varied = {"auto_augment": "rand-m7-mstd0.5-inc1", "re_prob": 0.25, "hflip": 0.5}
    loader = create_loader(train, is_training=True, interpolation="bicubic", **varied, **SEEN)
    net = network(said.weights, len(train.classes))
    optimizer = create_optimizer_v2(net, opt="adamw", lr=5e-4, weight_decay=0.05)
    loss_of = LabelSmoothingCrossEntropy(0.1)
    epochs = max(1, epochs_that_fit(said.left, epoch_seconds(net, loader, loss_of)))
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        num_epochs=epochs,
        warmup_epochs=1 if epochs > 1 else 0,
        step_on_epochs=False,
        updates_per_epoch=len(loader),
    )
    averaged = ModelEmaV3(net, decay=0.99)
    step = 0
    for _ in range(epochs):
        net.train()
        for images, labels in loader:
            optimizer.zero_grad()
            loss_of(net(images), labels).backward()
            optimizer.step()
            step += 1
            averaged.update(net, step=step)
            scheduler.step_update(num_updates=step)
    trained = since_start()

    def predict() -> Iterator[tuple[list[int], list[int]]]:
        model = averaged.module.eval()
        with torch.no_grad():
            for images, labels in create_loader(
                test, is_training=False, interpolation="bicubic", crop_pct=0.875, **SEEN
            ):
                yield labels.tolist(), model(images).argmax(1).tolist()

    answer(f"{epochs} epochs", trained, predict)


def epoch_seconds(net: torch.nn.Module, loader: torch.utils.data.DataLoader, loss_of: torch.nn.Module) -> float:
    """About how long an epoch takes; the network is left as it was."""
    kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()
    started = 0.0
    for number, (images, labels) in enumerate(loader):
        if number == 3:
            started = time.perf_counter()
        if number == 3 + STEPS:
            break
        loss_of(net(images), labels).backward()
        net.zero_grad()
    step = (time.perf_counter() - started) / STEPS
    net.load_state_dict(kept)
    return step * len(loader)


if __name__ == "__main__":
    main()
