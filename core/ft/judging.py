"""Labels that may be wrong: judged by heads that did not see the image, where each image has one class."""

from __future__ import annotations

import torch
from torch import Tensor

from ft.data.load import ImageData
from ft.data.targets import targets_of
from ft.errors import FtError
from ft.extension.installed import Plugins, read_settings
from ft.extension.tasks import LabelSpace, SolvableLoss
from ft.gathering import Gathered
from ft.insight.even_folds import even_folds
from ft.insight.label_errors import confident_joint, find_suspects
from ft.insight.out_of_sample import OutOfSample, Solver, answer_out_of_sample
from ft.insight.records import Judged, SuspectedLabel
from ft.machine.display import Display
from ft.plan.optimizer import ChosenOptimizer
from ft.task.chosen import ChosenTask
from ft.training.solving import solvable

FOLDS = 5
"""Heads that are fitted, each to all images but a fifth."""
MOST_CLASSES = 1000
"""Of more, what is counted for each pair of them would be more than all else that a run keeps."""
MOST_ANSWERS = 10**8
"""Numbers that heads answer with, one for each image and class, at most: 400 MB, and as long as that takes to fit."""


def judge_labels(
    gathered: Gathered, components: Tensor, plugins: Plugins, display: Display
) -> tuple[tuple[SuspectedLabel, ...], Judged | None, str]:
    """The labels that may be wrong, going by the `components` [N, D] of all images' features, and how they were judged;
    or why they were not."""
    targets = targets_of(gathered.items)
    try:
        folds, answered = ask_out_of_sample(gathered, components, plugins, display)
    except FtError as error:
        return (), None, str(error)
    there = [torch.unique(targets[folds == number]) for number in range(FOLDS)]
    in_folds = torch.bincount(torch.cat(there), minlength=len(gathered.data.space.names))
    return *_suspected(gathered, targets, in_folds > 1, answered), ""


def ask_out_of_sample(
    gathered: Gathered, components: Tensor, plugins: Plugins, display: Display
) -> tuple[Tensor, OutOfSample]:
    """In which fold each image is left out [N], and what the head that did not see it says of it; the softmax of that
    are probabilities. Raises FtError where labels are not those of one class an image, or nothing solves for heads."""
    data, targets = gathered.data, targets_of(gathered.items)
    solver = _solver(data, targets, plugins)
    _check_size(len(targets), solver.outputs)
    folds = even_folds(data, gathered.items, targets.tolist(), FOLDS)
    if len(set(folds.tolist())) < 2:
        raise FtError("labels are judged by heads that saw other images, and all images are of one group")
    with display.progress("heads on folds", len(solver.penalties) * FOLDS, unit="fits") as bar:
        return folds, answer_out_of_sample(components, targets, folds, solver, bar.advance)


def _check_size(images: int, classes: int) -> None:
    """Raise FtError where judging would take far more time and memory than all the rest of a run."""
    if classes > MOST_CLASSES:
        raise FtError(f"labels are judged where there are {MOST_CLASSES:,} classes or fewer, and there are {classes:,}")
    if images * classes > MOST_ANSWERS:
        raise FtError(
            f"labels are judged where there are {MOST_ANSWERS:,} answers or fewer, one for each image and class; "
            f"{images:,} images of {classes:,} classes have more"
        )


def _suspected(
    gathered: Gathered, targets: Tensor, seen: Tensor, answered: OutOfSample
) -> tuple[tuple[SuspectedLabel, ...], Judged]:
    """What is suspected among classes that are `seen` [C] by every head, as far as there are enough images of them."""
    names = gathered.data.space.names
    enough = seen & (torch.bincount(targets, minlength=len(names)) >= FOLDS)
    kept = torch.nonzero(enough[targets]).flatten()
    chosen = torch.nonzero(enough).flatten()
    numbers = torch.full((len(names),), -1).index_put((chosen,), torch.arange(len(chosen)))
    probabilities = answered.outputs.softmax(1)[kept][:, chosen]
    labels = numbers[targets[kept]]
    classes = [names[number] for number in chosen.tolist()]
    found = find_suspects(probabilities, labels) if len(classes) > 1 else ()
    said = gathered.said()
    suspects = tuple(
        SuspectedLabel(*said[int(kept[each.place])], classes[each.suggested], each.margin) for each in found
    )
    judged = Judged(
        tuple(classes),
        tuple(map(tuple, confident_joint(probabilities, labels).tolist())) if len(classes) > 1 else (),
        tuple(name for name, there in zip(names, enough.tolist(), strict=True) if not there),
        float((answered.outputs.argmax(1) == targets).double().mean()),
        answered.penalty,
    )
    return suspects, judged


def _solver(data: ImageData, targets: Tensor, plugins: Plugins) -> Solver:
    """How heads are fitted. Raises FtError where labels are not those of one class an image, or nothing solves."""
    task, names = data.task, data.space.names
    one_class = targets.ndim == 1 and not targets.is_floating_point()
    if not one_class or data.space.outputs != len(names) or len(names) < 2:
        raise FtError(f"labels are judged where each image has one of several classes, and not in task '{task.name}'")
    if not solvable(task, task.loss(data.space, targets)).shift_invariant:  # as where outputs go through a softmax
        raise FtError(f"labels are judged by probabilities of classes, of which task '{task.name}' makes none")

    return solver_for(task, data.space, plugins)


def solver_for(task: ChosenTask, space: LabelSpace, plugins: Plugins) -> Solver:
    """How linear heads are fitted by the loss of a task. Raises FtError where that is not convex, or no optimizer that
    is installed solves."""

    def make_loss(some: Tensor) -> SolvableLoss:
        return solvable(task, task.loss(space, some))

    solving = next((each for each in plugins.components("optimizer") if each.record.solves), None)
    if solving is None:
        raise FtError("heads are solved for here, and no optimizer that is installed solves")
    optimizer = ChosenOptimizer(solving, read_settings(solving, {}, "training.optimizer"))
    return Solver(space.outputs, make_loss, optimizer.build, optimizer.planned().penalties)
