"""A task with what its checks try it on: the labels of a few images, and outputs that are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ft.extension.installed import Component
from ft.testing.trial import Trial, expect

if TYPE_CHECKING:
    import torch

    from ft.extension.tasks import LabelSpace
    from ft.task.chosen import ChosenTask


@dataclass(frozen=True, eq=False)
class Tried:
    """A task with its settings; the label space, and the targets [N, ...], of its labels; and outputs [N, K]."""

    task: ChosenTask
    space: LabelSpace
    targets: torch.Tensor
    outputs: torch.Tensor


def tries(trial: Trial) -> Iterator[Tried]:
    expect(len(trial.component.record.labels) >= 4, f"{trial.label} has no labels of four images to try it with")
    for settings in trial.read_settings():
        yield try_out(trial.component, settings)


def try_out(component: Component, settings: Any) -> Tried:
    import torch

    from ft.task.chosen import ChosenTask

    task, labels = ChosenTask(component, settings), component.record.labels
    space = task.space(labels)
    targets = torch.tensor(list(task.encode(labels, space)))
    outputs = torch.randn(len(labels), space.outputs, generator=torch.Generator().manual_seed(0))
    return Tried(task, space, targets, outputs)
