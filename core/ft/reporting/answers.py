"""What the saved model gave for the images of a run: as the run kept it, or asked anew where it kept nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ft.data.pictures import Picture
from ft.inference.load import Trained
from ft.inference.predict import outputs_or_why
from ft.machine.display import Display
from ft.reporting.finished import Answers, Finished, targets_in
from ft.reporting.found import Found
from ft.run.outputs import read_outputs, write_outputs
from ft.run.summaries import figures_in
from ft.text.counting import number_of

NEAR = 1e-3
"""By how much figures of kept outputs may differ, relatively, from those of report.json, which counted in batches."""


def kept_answers(finished: Finished) -> tuple[Answers, ...]:
    """The answers for validation and test images, in this order, as the run kept them; () where it kept none, or others
    than those by which report.json was written."""
    outputs = read_outputs(finished.run.path)
    splits = [split for split in ("val", "test") if finished.count(split)]
    if not all(split in outputs and len(outputs[split]) == finished.count(split) for split in splits):
        return ()
    found = tuple(_answers(finished, split, outputs[split]) for split in splits)
    return found if all(_fits(finished, each) for each in found) else ()


def _answers(finished: Finished, split: str, outputs: Tensor) -> Answers:
    places = tuple(place for place, image in enumerate(finished.images) if image.split == split)
    return Answers(split, places, outputs, targets_in(finished.images, split, finished.task, finished.space))


def _fits(finished: Finished, answers: Answers) -> bool:
    """Whether these answers have the figures of report.json."""
    meter = finished.task.meter(finished.space)
    meter.add(answers.outputs, answers.targets)
    found, said = meter.figures(), figures_in(getattr(finished.report, answers.split) or {})
    return all(math.isclose(found[name], said[name], rel_tol=NEAR, abs_tol=NEAR) for name in said if name in found)


def ask_again(finished: Finished, trained: Trained, found: Found, display: Display) -> tuple[Answers, ...]:
    """The answers of the rebuilt model to the images that are still there; where that is all of them, they are kept.

    A warning counts those that are not.
    """
    display.say(f"{finished.run.path} kept no outputs of its model, which is asked again")
    answers = []
    lacking = 0
    for split in ("val", "test"):
        if not finished.count(split):
            continue
        whole = _answers(finished, split, torch.empty(0))
        pictures, numbers = _unchanged(whole.places, found, display)
        rows = [row for some in outputs_or_why(trained, pictures, display) for row in some]
        there = [number for number, row in zip(numbers, rows, strict=True) if isinstance(row, Tensor)]
        outputs = [row for row in rows if isinstance(row, Tensor)]
        lacking += len(whole.places) - len(there)
        if outputs:
            places = tuple(whole.places[number] for number in there)
            answers.append(replace(whole, places=places, outputs=torch.stack(outputs), targets=whole.targets[there]))
    if lacking:
        display.warn(
            f"{number_of(lacking, 'image')} of the run cannot be looked at any more, being gone or changed; what the "
            "page says of single images leaves them out. The figures are those of report.json"
        )
    else:
        write_outputs(finished.run.path, {each.split: each.outputs for each in answers})
    return tuple(answers)


def _unchanged(places: Sequence[int], found: Found, display: Display) -> tuple[list[Picture], list[int]]:
    """The pictures that are what they were, and which of the `places` they are of."""
    pictures, numbers = [], []
    with display.progress("looking for the images of the run", len(places), unit="images") as bar:
        for number, place in enumerate(places):
            if (picture := found.picture(place)) is not None and found.is_unchanged(place):
                pictures.append(picture)
                numbers.append(number)
            bar.advance(number + 1)
    return pictures, numbers
