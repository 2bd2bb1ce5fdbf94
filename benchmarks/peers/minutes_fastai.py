"""fastai's fine_tune, as its documentation has it: the head for one epoch, then everything at rates that rise towards
the head, aug_transforms, the better half of the one-cycle schedule. Where not even that fits, the head alone."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator

import torch
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    L,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    imagenet_stats,
    params,
    set_seed,
)
from minutes import answer, epochs_that_fit, given, network, since_start
from torch import nn

STEPS = 3
"""Steps that are measured."""


def main() -> None:
    said = given()
    set_seed(said.seed)
    with said.table.open() as file:
        rows = list(csv.DictReader(file))
    seen = [row for row in rows if row["split"] != "test"]
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=lambda row: row["path"],
        get_y=lambda row: row["label"],
        splitter=IndexSplitter([at for at, row in enumerate(seen) if row["split"] == "val"]),
        item_tfms=Resize(224),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(seen, bs=32, num_workers=2, device="cpu")
    net = network(said.weights, 2)
    body = nn.ModuleList([child for name, child in net.named_children() if name != "_fc"])
    learner = Learner(
        loaders, net, metrics=accuracy, splitter=lambda _: L(body, net._fc).map(params), model_dir=said.table.parent
    )
    with learner.no_bar(), learner.no_logging():
        learner.freeze()
        head = epoch_seconds(learner)
        learner.unfreeze()
        whole = epoch_seconds(learner)
        if epochs := epochs_that_fit(said.left, whole, before=head):
            learner.fine_tune(epochs)
            did = f"fine_tune({epochs})"
        else:
            epochs = max(1, epochs_that_fit(said.left, head))
            learner.freeze()
            learner.fit_one_cycle(epochs, 2e-3)
            did = f"freeze, fit_one_cycle({epochs})"
    trained = since_start()
    test = loaders.test_dl([row for row in rows if row["split"] == "test"], with_labels=True)

    def predict() -> Iterator[tuple[list[int], list[int]]]:
        outputs, labels = learner.get_preds(dl=test)
        yield labels.tolist(), outputs.argmax(1).tolist()

    answer(did, trained, predict)


def epoch_seconds(learner: Learner) -> float:
    """About how long an epoch takes, validation included: some steps are taken by a copy of the weights."""
    kept = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    learner.create_opt()
    learner.model.train()
    batches = iter(learner.dls.train)
    started = time.perf_counter()
    for _ in range(STEPS):
        images, labels = next(batches)
        learner.loss_func(learner.model(images), labels).backward()
        learner.model.zero_grad()
    step = (time.perf_counter() - started) / STEPS
    learner.model.eval()
    started = time.perf_counter()
    with torch.no_grad():
        learner.model(images)
    look = time.perf_counter() - started
    learner.model.load_state_dict(kept)
    learner.opt = None
    return step * len(learner.dls.train) + look * len(learner.dls.valid)


if __name__ == "__main__":
    main()
