"""Runs compared by what their saved models answer to the same images, which none of them was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ft.errors import FtError
from ft.extension.tasks import label_text
from ft.insight.paired import Paired, paired
from ft.reporting.answers import kept_answers
from ft.reporting.finished import Finished
from ft.text.names import typed


@dataclass(frozen=True, eq=False)
class Valued:
    """What a run's saved model makes of its validation images, whose content is told by `digests`: what it `said` of
    each, and a value [N], which the task calls `counted`: of classes 1 where the answer is right, of numbers how far it
    is off. `places` are the images' numbers in the run's list."""

    places: tuple[int, ...]
    digests: tuple[str, ...]
    labels: tuple[str, ...]
    said: tuple[str, ...]
    values: Tensor
    counted: str
    larger_is_better: bool = True


@dataclass(frozen=True, eq=False)
class Versus:
    """A second run beside a first, on the images that both validated on with one label, which are `rows` of both."""

    first: Valued
    second: Valued
    rows: tuple[tuple[int, int], ...]
    came_to: Paired


def valued(finished: Finished) -> Valued:
    """What a run kept of its answers. Raises FtError where it kept none, and where its task says nothing of single
    images."""
    task, folder = finished.task, finished.run.path
    count = task.count(finished.space)
    if count is None:
        raise FtError(f"task '{task.name}' says of no single image how well it is answered")
    kept = next((each for each in kept_answers(finished) if each.split == "val"), None)
    if kept is None:
        raise FtError(f"{folder} kept no outputs of its model; this asks it again: {typed('ft', 'report', folder)}")
    images = [finished.images[place] for place in kept.places]
    figure = next((each for each in task.figures if each.name == task.record.tally_name), None)
    return Valued(
        kept.places,
        tuple(image.digest for image in images),
        tuple(label_text(image.label) for image in images),
        tuple(", ".join(answer.cells(1).values()) for answer in task.predict(kept.outputs, finished.space)),
        count(kept.outputs, kept.targets).double(),
        task.record.tally_name,
        figure is None or figure.larger_is_better,
    )


def versus(first: Valued, second: Valued) -> Versus:
    """The second run beside the first. Raises FtError where they count different things, or have no image in common
    that has the same label in both."""
    if first.counted != second.counted:
        raise FtError(f"one is judged by {first.counted}, the other by {second.counted}")
    known = {digest: row for row, digest in enumerate(first.digests)}
    rows = tuple(
        (known[digest], row)
        for row, digest in enumerate(second.digests)
        if digest in known and first.labels[known[digest]] == second.labels[row]
    )
    if not rows:
        raise FtError("no image of one label validated in both, so their figures are of different images")
    mine, theirs = (torch.tensor(part) for part in zip(*rows, strict=True))
    return Versus(first, second, rows, paired(first.values[mine], second.values[theirs], first.larger_is_better))


def told(found: Versus) -> str:
    """What people read of two runs side by side."""
    both = found.came_to
    images = "the one image" if both.images == 1 else f"{both.images:,} images"
    counted = f"{found.first.counted.replace('_', ' ')} {both.means[1]:.4f} beside {both.means[0]:.4f}"
    if not both.better and not both.worse:
        return f"{counted} on {images} that validated in both: better on none, worse on none"
    fares = f"better on {both.better:,}, worse on {both.worse:,}"
    if both.p is not None:
        how = f"p {both.p:.2g} by McNemar's test"
    elif both.interval is not None:
        how = f"with 95 % confidence the difference is {both.interval.low:.3g} to {both.interval.high:.3g}"
    else:
        how = "too few images to tell"
    verdict = "more than chance" if both.is_more_than_chance else "may be chance"
    return f"{counted} on {images} that validated in both: {fares}; {verdict} ({how})"


def differing(found: Versus) -> tuple[list[int], list[int]]:
    """Numbers into `rows`: of images on which the second run fares worse, and better, those that differ most first."""
    change = torch.stack([found.second.values[theirs] - found.first.values[mine] for mine, theirs in found.rows])
    ahead = change if found.first.larger_is_better else -change
    order: list[int] = ahead.argsort(stable=True).tolist()
    worse = [number for number in order if ahead[number] < 0]
    return worse, [number for number in reversed(order) if ahead[number] > 0]
