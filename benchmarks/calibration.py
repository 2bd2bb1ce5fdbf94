"""How often answers of so much probability are right: ft's temperature beside netcal's, on the same logits.

    python benchmarks/calibration.py [SEED ...]

Data: 2,624 photographs of solar cells, a fifth set aside to validate and a fifth to test. The network: EfficientNet-
Lite0 with ImageNet weights, fine-tuned in four ways. The temperature is fitted on validation, where the best epoch is
chosen, too; what is told is measured on the test images, which neither saw: the expected calibration error (15 bins of
equal width) and the mean cross-entropy, with the probabilities of the logits, of ft's temperature, which is the one in
the run's model.json, and of netcal's.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netcal.metrics import ECE
from netcal.scaling import TemperatureScaling
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import nll_loss

import ft
from ft.inference.loaded import LoadedModel
from ft_tasks.reliability import BINS, reliability

SMOOTHED = {"use": "classification", "label_smoothing": 0.2}
LAST_STAGE = {"freeze": "depth:-1", "augment": "none", "lr": 0.001, "head_lr": 0.003, "epochs": 20}
WAYS: dict[str, dict[str, Any]] = {
    "head, AdamW": {"freeze": "all", "lr": 0.003},
    "head, L-BFGS": {"freeze": "all", "optimizer": "lbfgs"},
    "head, AdamW, smoothed labels": {"freeze": "all", "lr": 0.003, "task": SMOOTHED},
    "last stage, AdamW, 20 epochs": {**LAST_STAGE, "monitor": "accuracy"},
}


def main() -> None:
    seeds = [int(each) for each in sys.argv[1:]] or [0]
    with tempfile.TemporaryDirectory() as folder:
        for way, keys in WAYS.items():
            for seed in seeds:
                run = ft.finetune(
                    backbone="efficientnet-lite:lite0",
                    data="elpv",
                    seed=seed,
                    split={"val": 0.2, "test": 0.2, "seed": seed},
                    run_dir=Path(folder) / f"{way}-{seed}",
                    **keys,
                )
                compare(f"{way}, seed {seed}", run.load())


def compare(title: str, model: LoadedModel) -> None:
    logits = {split: logits_of(model, split) for split in ("val", "test")}
    temperature = model.numbers["temperature"][0]
    outputs, targets = logits["test"]
    theirs = TemperatureScaling()
    theirs.fit(softmax(logits["val"][0]), logits["val"][1].numpy())
    scaled = theirs.transform(softmax(outputs))
    both = np.stack([1 - scaled, scaled], 1) if scaled.ndim == 1 else scaled
    print(f"{title}: {len(targets)} test images, temperature {temperature:.3f}")
    for name, shares in (
        ("logits", outputs.double().softmax(1)),
        ("ft", (outputs.double() / temperature).softmax(1)),
        ("netcal", torch.from_numpy(both)),
    ):
        best, answers = shares.max(1)
        own = reliability(best, answers == targets).expected_error()
        same = ECE(BINS, detection=True).measure(best.numpy(), (answers == targets).long().numpy())
        loss = float(nll_loss(shares.double().clamp(min=1e-30).log(), targets))
        print(f"  {name:8s} ECE {own:.4f} (netcal's measure {same:.4f})  cross-entropy {loss:.4f}", flush=True)


def softmax(logits: Tensor) -> np.ndarray:
    """What netcal takes: the probability of the second of two classes, or of each of more."""
    shares = logits.double().softmax(1).numpy()
    return shares[:, 1] if shares.shape[1] == 2 else shares


def logits_of(model: LoadedModel, split: str) -> tuple[Tensor, Tensor]:
    """Logits [N, C] of the saved model, as the run kept them, and classes [N] of the images that it had in a split."""
    with (model.path / "images.csv").open(encoding="utf-8", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file) if row["split"] == split]
    logits = load_file(model.path / "outputs.safetensors")[split]
    return logits, torch.tensor([model.classes.index(label) for label in labels])


if __name__ == "__main__":
    main()
