"""Runs of an ft in which tasks were no plugins yet: their folders go on, and their models are used, as then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finished_runs import metrics_in
from ft.config.schema import Config
from ft.extension.installed import Plugins
from ft.finetune import finetune
from ft.front import load
from ft.inference.load import load_trained
from ft.inference.measure import measure
from ft.inference.measure_run import measurable
from ft.machine.display import Display
from ft.machine.signals import StopAsked
from ft.run.folder import Run
from signal_at_progress import SignalAtProgress

NEW = {"model.json": ("task", "outputs", "numbers"), "plan.json": ("task", "figures", "noun")}
"""What the files did not hold."""
BY_CLASS = {"classes": ({"name": "a", "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2},), "confusion": ()}


def as_before(folder: Path, form: int) -> Run:
    """Rewrite the files of a run as an ft wrote them whose checkpoints have this format."""
    for name, keys in NEW.items():
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if key not in keys}))
    for path in folder.glob("*.pt"):
        content = torch.load(path, weights_only=True)
        if content["format"] != form:  # the best epoch may still be one of before
            torch.save({**content, "format": form, "position": position_before(content["position"], form)}, path)
    return Run(folder)


def position_before(position: dict[str, Any], form: int) -> dict[str, Any]:
    history = [
        {
            **{key: value for key, value in epoch.items() if key != "train"},
            **{f"train_{name}": value for name, value in epoch["train"].items()},
            "val": {**epoch["val"], **(BY_CLASS if form == 2 else {})},
        }
        for epoch in position["history"]
    ]
    others = {key: value for key, value in position.items() if key != "tally"}
    return {**others, "hits": int(position["tally"]), "history": history}


@pytest.mark.parametrize("form", [2, 3])
def test_a_run_of_before_goes_on_to_the_bit_and_its_model_is_used(
    form: int, tiny_config: Callable[..., Config], plugins: Plugins
) -> None:
    config = tiny_config(freeze=["until:stem"], training__class_weights="balanced")
    with pytest.raises(StopAsked) as asked:
        finetune(config, plugins, SignalAtProgress("epoch 2/2", 4))
    run = Run(asked.value.folder)
    older = as_before(Path(shutil.copytree(run.path, run.path.with_name("older"))), form)
    _, report = finetune(run.config(True), plugins, Display(), run)
    finetune(older.config(True), plugins, Display(), older)
    assert metrics_in(older.path) == metrics_in(run.path)
    weights, expected = (load_file(each.path / "model.safetensors") for each in (older, run))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)

    machine = {"device": "cpu", "precision": "fp32", "workers": 0}
    trained = load_trained(as_before(older.path, form), plugins, machine, 4, trust_code=True)
    measured, _ = measure(measurable(trained), config.data.model_dump(), "val", plugins, Display())
    assert measured == report.val
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    answers = [load(each.path, device="cpu", trust_code=True).predict(image) for each in (older, run)]
    assert answers[0] == answers[1]
