"""The kit finds what is wrong with exporters, and with what tasks say of exported models: each is wrong in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ft import Exporter, Portable
from ft.extension.installed import Component, load_plugins
from ft.extension.kinds import KINDS
from ft.extension.references import parse_reference
from ft.testing import exporter, task_exported
from ft.testing.trial import NotSo, Trial

Outputs = dict[str, Any]
Change = Callable[[Outputs], Outputs]
KEPT: dict[str, Any] = {}
USE = """import torch

from ft.testing import portable_model


def model(images):
    with torch.no_grad():
        return portable_model(ANY_SIZE).module(torch.from_numpy(images))[0].numpy()
"""


class ByHand(Executor):
    """Has an answer ready for whatever is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(KEPT["compute"](args[-1]))
        return future


def trial_of(record: Any, folder: Path) -> Trial:
    kind = next(kind for kind in KINDS.values() if isinstance(record, kind.record))
    return Trial(Component(kind, record, "under-test", "1.0"), record.name, None, folder, ByHand())


def said_of(folder: Path, change: Change = dict, **fields: Any) -> str:
    """What the kit says of an exporter that keeps the module, and changes what that gives."""

    def export(model: Portable, into: Path, settings: Any) -> None:
        """Keep it."""
        (into / "model.txt").write_text("")
        KEPT["model"] = model

    def load(_: Path) -> Callable[[Any], Outputs]:
        def compute(images: Any) -> Outputs:
            model: Portable = KEPT["model"]
            with torch.no_grad():
                outputs = model.module(torch.from_numpy(images))
            return change({name: each.numpy() for name, each in zip(model.outputs, outputs, strict=True)})

        KEPT["compute"] = compute
        return compute

    record = Exporter("kept", "Keeps it", export, load, "model.txt", USE.replace("ANY_SIZE", "False"))
    try:
        exporter.the_file_computes_what_the_model_does(trial_of(replace(record, **fields), folder))
    except NotSo as found:
        return str(found)
    return ""


def alone(given: Outputs) -> Outputs:
    return {name: each[:1] for name, each in given.items()}


def apart(given: Outputs) -> Outputs:
    return {name: each + np.float32(0.01) for name, each in given.items()}


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (apart, {}, "exporter 'kept': logits differ from the model's by 0.01"),
        (lambda given: {"scores": given["logits"]}, {}, "exporter 'kept' gives scores, and no logits"),
        (alone, {}, "gives [1, 3] of logits for [2, 16, 16, 3], not [2, 3]"),
        (dict, {"file": "other.txt"}, "writes no other.txt, which its record names"),
        (dict, {"use": "import math\n\nmodel = 3"}, "the lines of `use` define no model(images)"),
    ],
)
def test_an_exporter_that_is_wrong_is_told(
    tmp_path: Path, change: Change, fields: Mapping[str, Any], message: str
) -> None:
    assert message in said_of(tmp_path, change, **fields)


@pytest.mark.parametrize("any_size", [False, True])
def test_an_exporter_that_is_right_passes(tmp_path: Path, any_size: bool) -> None:
    assert said_of(tmp_path, any_size=any_size, use=USE.replace("ANY_SIZE", str(any_size))) == ""


def task(**fields: Any) -> Any:
    record = load_plugins().get("task", parse_reference("classification")).record
    return replace(record, **fields)


def test_a_task_whose_answers_are_not_those_of_predict_is_told(tmp_path: Path) -> None:
    from ft_tasks.class_answers import answers

    wrong = task(answers=lambda outputs, space, settings: answers(-outputs, space, settings))
    with pytest.raises(NotSo, match=r"task 'classification' answers .* and, by predict, "):
        task_exported.what_is_exported_is_what_is_answered(trial_of(wrong, tmp_path))


def test_a_readout_that_gives_no_row_an_image_is_told(tmp_path: Path) -> None:
    wrong = task(readout=lambda outputs, space, settings: outputs[:2])
    with pytest.raises(NotSo, match=r"(?s)task 'classification' reads .* of three images, not a finite row of each"):
        task_exported.what_is_exported_is_what_is_answered(trial_of(wrong, tmp_path))
