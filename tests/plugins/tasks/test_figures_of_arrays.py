"""Figures of arrays: those of tensors, and no torch is needed for them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from ft.config.component import ComponentConfig
from ft.extension.installed import load_plugins
from ft.task.chosen import choose_task
from ft.task.evaluation import evaluate
from without_torch import BARRED

IN_ARRAYS = """
import json
import numpy as np
from ft.config.component import ComponentConfig
from ft.data.load import Item
from ft.data.targets import target_array
from ft.extension.installed import load_plugins
from ft.task.chosen import choose_task
from ft.task.evaluation import evaluate_arrays

def measured(name):
    task = choose_task(ComponentConfig(use=name), load_plugins())
    labels = task.record.labels
    space = task.space(labels)
    targets = target_array([Item(None, target) for target in task.encode(labels, space)])
    outputs = np.random.default_rng(0).normal(size=(len(labels), space.outputs)).astype(np.float32)
    return evaluate_arrays([(outputs[:2], targets[:2]), (outputs[2:], targets[2:])], task, space).plain()

print(json.dumps({name: measured(name) for name in sys.argv[1:]}))
"""
TASKS = ("classification", "multilabel", "regression")


@pytest.fixture(scope="module")
def in_arrays() -> dict[str, object]:
    """What each task measures of outputs that are drawn, where torch cannot be imported."""
    done = subprocess.run([sys.executable, "-c", BARRED + IN_ARRAYS, *TASKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", TASKS)
def test_figures_of_arrays_are_those_of_tensors_and_need_no_torch(name: str, in_arrays: dict[str, object]) -> None:
    task = choose_task(ComponentConfig(use=name), load_plugins())
    labels = task.record.labels
    space = task.space(labels)
    targets = torch.tensor(task.encode(labels, space))
    outputs = torch.from_numpy(np.random.default_rng(0).normal(size=(len(labels), space.outputs)).astype(np.float32))
    measured = evaluate([(outputs, targets)], task, space)
    assert measured["loss"] == pytest.approx(_loss(name, outputs, targets))
    assert _close(in_arrays[name], json.loads(json.dumps(measured.plain())))


def _loss(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """What torch says."""
    functions = {
        "classification": torch.nn.functional.cross_entropy,
        "multilabel": torch.nn.functional.binary_cross_entropy_with_logits,
        "regression": torch.nn.functional.huber_loss,
    }
    return float(functions[name](outputs.double(), targets if targets.ndim == 1 else targets.double()))


def _close(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    return bool(one == (other if isinstance(other, str) else pytest.approx(other)))
