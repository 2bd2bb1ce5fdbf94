"""What the page of a run shows of labels: each of them, which images were said to have it, and the mistakes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ft import Choice, LabelSpace, Matrix, Note, Pictures, Section, Shot, some_names
from ft_tasks.multilabel import EVEN, MultilabelSettings, thresholds_of
from ft_tasks.multilabel_calibration_section import calibration
from ft_tasks.multilabel_figures import MultilabelMeter
from ft_tasks.multilabel_outputs import probabilities

MOST = 12
"""Images of each kind of mistake."""
MOST_LABELS = 60
"""Labels that can be chosen from: of more, those with the most mistakes."""
HAS = ("with it", "without it")


def sections(outputs: Tensor, targets: Tensor, space: LabelSpace, settings: MultilabelSettings) -> list[Section]:
    """By label, which images were said to have it, the mistakes, and how sure answers are, of logits and targets
    [N, K]."""
    shares = probabilities(outputs)
    limits = shares.new_tensor(thresholds_of(space, settings) or [EVEN] * len(space.names))
    said, has, known = shares >= limits, targets == 1, ~targets.isnan()
    meter = MultilabelMeter(space, settings)
    meter.add(outputs, targets)
    return [
        Section("By label", (*_never(said, has, space), *meter.tables()), "Those with the most mistakes come first."),
        Section("Label by label", (_choice(said, has, known, space),), "Each number opens its images."),
        Section("Mistakes", tuple(_mistakes(shares, limits, targets, space))),
        calibration(outputs, targets, space, settings),
    ]


def guess(targets: Tensor, space: LabelSpace, settings: MultilabelSettings) -> Tensor:
    """The logits [K] of how often images have each label, as far as that is known; a label that all have, or none,
    counts as one that all but a tenth of an image have, or that a tenth has."""
    known = (~targets.isnan()).sum(0).clamp(min=1)
    share = targets.nan_to_num(0.0).sum(0) / known
    return share.clamp(0.1 / known, 1 - 0.1 / known).logit()


def _never(said: Tensor, has: Tensor, space: LabelSpace) -> Iterator[Note]:
    never = (has.any(0) & ~said.any(0)).nonzero().flatten().tolist()
    if never:
        yield Note(f"Never answered: {some_names([space.names[number] for number in never])}.", warns=True)


def _choice(said: Tensor, has: Tensor, known: Tensor, space: LabelSpace) -> Choice:
    """For each label which images have it, and were said to have it."""
    worst = (known & (said != has)).sum(0).argsort(descending=True, stable=True)[:MOST_LABELS].tolist()

    def places(found: Tensor) -> tuple[int, ...]:
        return tuple(found.nonzero().flatten().tolist())

    def matrix(number: int) -> Matrix:
        kinds = {0: (has & known)[:, number], 1: (~has & known)[:, number]}
        answers = {0: said[:, number], 1: ~said[:, number]}
        cells = {(row, column): places(kinds[row] & answers[column]) for row in kinds for column in answers}
        return Matrix(HAS, {at: found for at, found in cells.items() if found}, of="images", taken="answered")

    return Choice("label", {space.names[number]: (matrix(number),) for number in worst})


def _mistakes(shares: Tensor, limits: Tensor, targets: Tensor, space: LabelSpace) -> Iterator[Note | Pictures]:
    """Labels that were said or missed most surely, and answers nearest to their thresholds, where labels are known."""
    said, has, known = shares >= limits, targets == 1, ~targets.isnan()
    wrong = known & (said != has)
    if not wrong.any():
        yield Note("Every label that is known was answered rightly.")
    for title, which, order in (
        ("Said most surely of images that have it not", wrong & ~has, shares),
        ("Missed most surely", wrong & has, -shares),
        ("Nearest to their thresholds", known, -(shares - limits).abs()),
    ):
        if which.any():
            yield Pictures(title, _shots(which, order, shares, has, space))


def _shots(which: Tensor, order: Tensor, shares: Tensor, has: Tensor, space: LabelSpace) -> tuple[Shot, ...]:
    """Pairs of image and label among `which` [N, K], those of the highest `order` first."""
    flat = order.masked_fill(~which, float("-inf")).flatten()
    best = flat.topk(min(MOST, int(which.sum()))).indices.tolist()
    return tuple(_shot(divmod(number, len(space.names)), shares, has, space) for number in best)


def _shot(pair: tuple[int, int], shares: Tensor, has: Tensor, space: LabelSpace) -> Shot:
    """An image with a label, whether it has it, and its probability."""
    place, label = pair
    truth = "has it" if has[place, label] else "has it not"
    return Shot(place, f"{space.names[label]}: {truth}, {float(shares[place, label]):.1%}", of=label)
