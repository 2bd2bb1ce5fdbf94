"""LightlyTrain's train_image_classification, with its settings and as many steps as fit. Everything trains.

AdamW at 3e-4, a warm-up and a cosine, random crops, flips and colour jitter, batches of 16, bf16: all its defaults. It
calls the network by timm's names, so the tensors of the weight file, which stand in the same order, are named anew;
that both networks then give the same outputs is checked. Of its checkpoints the one with the best validation accuracy
answers.

LightlyTrain 0.18 reads timm's EfficientNets before their last convolution and builds its head for what comes after it,
so that the first step fails. Here it is told to read what timm calls the features.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import lightly_train
import timm
import torch
from common import Table
from lightly_train._models.timm import timm as wrapping
from lightly_train._task_models.image_classification.train_model import ImageClassificationTrain
from minutes import Given, answer, given, network, since_start

MODEL = "timm/tf_efficientnet_lite0"
BATCH = 16
STEPS = 8
"""Steps of a short training that comes first, by which is known what a step takes, and what everything besides."""


def main() -> None:
    said = given()
    wrapping._get_forward_features_fn = lambda _: wrapping._forward_features
    weights = renamed(said.weights)
    train = Table(said.table, "train")
    data = {
        "train": folders(said, "train", train),
        "val": folders(said, "val", Table(said.table, "val")),
        "classes": dict(enumerate(train.classes)),
    }

    def fit(out: str, steps: int) -> float:
        started = time.perf_counter()
        lightly_train.train_image_classification(
            out=out,
            data=data,
            model=MODEL,
            steps=steps,
            batch_size=BATCH,
            num_workers=2,
            accelerator="cpu",
            seed=said.seed,
            model_args={"backbone_weights": str(weights)},
        )
        return time.perf_counter() - started

    with steps_timed() as begun:
        short = fit("short", STEPS)
    step = median(later - earlier for earlier, later in pairwise(begun))
    besides = short - STEPS * step  # it validates at the end of each training
    steps = max(STEPS, int((said.left - besides) / step))
    fit("out", steps)
    trained = since_start()

    def predict() -> Iterator[tuple[list[int], list[int]]]:
        model = lightly_train.load_model("out/exported_models/exported_best.pt", device="cpu")
        test = Table(said.table, "test")
        for path, label in test.rows:
            yield [label], [int(model.predict(str(path), topk=1)["labels"][0])]

    answer(f"{steps} steps, {steps * BATCH / len(train):.1f} epochs", trained, predict)


@contextmanager
def steps_timed() -> Iterator[list[float]]:
    """When each training step begins, in seconds."""
    begun, step = list[float](), ImageClassificationTrain.training_step

    def timed(*args: Any, **given: Any) -> Any:
        begun.append(time.perf_counter())
        return step(*args, **given)

    ImageClassificationTrain.training_step = timed
    yield begun
    ImageClassificationTrain.training_step = step


def renamed(weights: Path) -> Path:
    """The weight file with the names that timm's network has for its tensors."""
    theirs = timm.create_model(MODEL.removeprefix("timm/"), pretrained=False)
    ours = network(weights, 1000)
    ours.load_state_dict(torch.load(weights, weights_only=True))
    named = dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
    theirs.load_state_dict(named)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(images), ours.eval()(images), rtol=1e-3, atol=1e-3)
    file = Path("weights.pt")
    torch.save(named, file)
    return file


def folders(said: Given, split: str, table: Table) -> str:
    """A folder with a folder for each class, of links, which is what it reads."""
    for at, (path, label) in enumerate(table.rows):
        folder = Path(split) / table.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{at}{Path(path).suffix}").symlink_to(path)
    return split


if __name__ == "__main__":
    main()
