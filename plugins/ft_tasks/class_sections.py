"""What the page of a run shows of classes: each of them, what was taken for what, and the mistakes as pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

from ft import LabelSpace, Matrix, Note, Pictures, Section, Shot, some_names
from ft_tasks.class_calibration_section import calibration
from ft_tasks.class_figures import ClassMeter
from ft_tasks.classification import ClassificationSettings, temperature_of
from ft_tasks.temperature import likeliest, shares_of

MOST = 12
"""Images of each kind of mistake."""
_TRY = "More images help most; --set task.class_weights=balanced --monitor macro_f1 makes those there are count more."
"""What to do for a class that is never answered."""


def sections(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> list[Section]:
    """By class, what was taken for what, the mistakes, and how sure answers are, of logits [N, C] and classes [N]."""
    return [
        _by_class(outputs, targets, space, settings),
        Section(
            "What was taken for what", (_matrix(outputs.argmax(1), targets, space),), "Each number opens its images."
        ),
        Section("Mistakes", tuple(_mistakes(outputs, targets, space))),
        calibration(outputs, targets, space),
    ]


def guess(targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Tensor:
    """The logarithms of how often each class occurs [C], whose cross-entropy nothing that sees no image falls below.

    A class without images counts as a tenth of one, since the logarithm of nothing is not finite.
    """
    counts = targets.bincount(minlength=len(space.names)).float().clamp(min=0.1)
    return (counts / counts.sum()).log()


def _by_class(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: ClassificationSettings) -> Section:
    meter = ClassMeter(space, settings)
    meter.add(outputs, targets)
    classes = meter.tables()[0]
    answered, there = set(outputs.argmax(1).tolist()), set(targets.tolist())
    never = [name for number, name in enumerate(space.names) if number in there and number not in answered]
    notes = [Note(f"Never answered: {some_names(never)}. {_TRY}", warns=True)] if never else []
    lead = "Those classes come first that cost most images: which were of them, and were taken for another."
    return Section("By class", (*notes, classes), lead)


def _matrix(answered: Tensor, targets: Tensor, space: LabelSpace) -> Matrix:
    cells = defaultdict[tuple[int, int], list[int]](list)
    for place, pair in enumerate(zip(targets.tolist(), answered.tolist(), strict=True)):
        cells[pair].append(place)
    return Matrix(space.names, {pair: tuple(places) for pair, places in cells.items()})


def _mistakes(outputs: Tensor, targets: Tensor, space: LabelSpace) -> Iterator[Note | Pictures]:
    """The errors of which the model was surest, and the answers of which it was least sure."""
    best, answered = likeliest(outputs, temperature_of(space)), outputs.argmax(1)
    wrong = torch.nonzero(answered != targets).flatten()
    if len(wrong):
        surest = wrong[best[wrong].argsort(descending=True, stable=True)][:MOST].tolist()
        shots = (_shot(place, outputs, targets, space) for place in surest)
        yield Pictures("Most confident errors", tuple(shots))
    else:
        yield Note("No image of this split was taken for another class.")
    least = best.argsort(stable=True)[:MOST].tolist()
    yield Pictures("Most uncertain answers", tuple(_shot(place, outputs, targets, space) for place in least))


def _shot(place: int, outputs: Tensor, targets: Tensor, space: LabelSpace) -> Shot:
    """An image with its label, and the answer with its probability."""
    label, answer = int(targets[place]), int(outputs[place].argmax())
    share = float(shares_of(outputs[place : place + 1], temperature_of(space))[0, answer])
    taken = "rightly" if answer == label else f"taken for {space.names[answer]}"
    return Shot(place, f"{space.names[label]}, {taken}, with {share:.1%}", of=answer)
