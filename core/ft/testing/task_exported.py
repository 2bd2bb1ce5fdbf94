"""The check of what a task says of exported models."""

from __future__ import annotations

import math
from typing import Any

from ft.task.evaluation import evaluate, evaluate_arrays
from ft.testing.trial import NotApplicable, Trial, expect
from ft.testing.tried import tries


def what_is_exported_is_what_is_answered(trial: Trial) -> None:
    """`answers`, where there are any, are those of `predict`, of numpy's arrays, and so is `average_arrays` what
    `average` is; `meter_of_arrays` tells of arrays what `meter` tells of tensors; `readout` has a name, and gives a
    finite row for each image, whose number torch.export leaves open."""
    import torch

    for tried in tries(trial):
        record = tried.task.record
        if record.answers is None and record.readout is None and record.meter_of_arrays is None:
            raise NotApplicable("it says nothing of exported models")
        space = tried.task.calibrate(tried.outputs, tried.targets, tried.space)
        if record.answers is not None:
            pairs = zip(
                tried.task.answers(tried.outputs.numpy(), space), tried.task.predict(tried.outputs, space), strict=True
            )
            for one, other in pairs:
                expect(alike(one.said(3), other.said(3)), f"{trial.label} answers {one} and, by predict, {other}")
        if record.average_arrays is not None:
            views = torch.stack([tried.outputs, tried.outputs.neg(), 3 * tried.outputs])
            tensor, array = tried.task.average(views, space), tried.task.average_arrays(views.numpy(), space)
            same = torch.allclose(tensor, torch.from_numpy(array), atol=1e-5)
            expect(same, f"{trial.label} averages arrays to {array!r:.80}, and tensors to {tensor!r:.80}")
        if record.meter_of_arrays is not None:
            batches = [(tried.outputs, tried.targets)]
            ours = evaluate(batches, tried.task, space).plain()
            theirs = evaluate_arrays([(o.numpy(), t.numpy()) for o, t in batches], tried.task, space).plain()
            expect(alike(ours, theirs), f"{trial.label} measures {theirs} of arrays, and {ours} of tensors")
        if record.readout is not None:
            expect(record.readout_name, f"{trial.label} has a readout without a readout_name")
            sizes = {"outputs": {0: torch.export.Dim.DYNAMIC}}
            read = torch.export.export(reading(tried.task, space), (tried.outputs,), dynamic_shapes=sizes).module()
            told = read(tried.outputs[:3])
            fine = len(told) == 3 and bool(told.isfinite().all())
            expect(fine, f"{trial.label} reads {told!r:.80} of three images, not a finite row of each")


def alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same, numbers but for their last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-7)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(alike, one.values(), other.values()))
    return bool(one == other)


def reading(task: Any, space: Any) -> Any:
    """A module that is nothing but a task's readout."""
    from torch import Tensor, nn

    class Reading(nn.Module):
        def forward(self, outputs: Tensor) -> Tensor:
            told: Tensor = task.readout(outputs, space)
            return told

    return Reading()
