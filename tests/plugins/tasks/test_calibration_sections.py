"""What pages show of how sure answers are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score
from torch import Tensor

from ft import Chart, Choice, LabelSpace, Note, Section, Slider
from ft_tasks.class_calibration_section import calibration
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.multilabel_calibration_section import calibration as of_labels
from ft_tasks.threshold_parts import MOST, by_threshold

ABC = ("a", "b", "c")


def drawn(images: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(images, classes, generator=generator)
    return logits, torch.multinomial((logits / 3).softmax(1), 1, generator=generator)[:, 0]


def notes(section: Section) -> str:
    return " ".join(each.text for each in section.parts if isinstance(each, Note))


def only(section: Section, kind: type[Choice]) -> Choice:
    (found,) = (each for each in section.parts if isinstance(each, kind))
    return found


def charts(section: Section) -> Iterator[Chart]:
    for part in section.parts:
        if isinstance(part, Chart):
            yield part
        if isinstance(part, Choice):
            yield from (each for parts in part.parts.values() for each in parts if isinstance(each, Chart))


def test_the_diagram_shows_answers_with_the_temperature_and_without() -> None:
    outputs, targets = drawn(500, 3)
    section = calibration(outputs, targets, LabelSpace(ABC, numbers={"temperature": (3.0,)}))
    diagram = next(charts(section))
    assert (diagram.diagonal, [line.name for line in diagram.lines]) == (
        True,
        ["as answered", "without the temperature"],
    )
    with_, without = (max(abs(x - y) for x, y in line.points) for line in diagram.lines)
    assert with_ < without
    assert "temperature of 3, which fits the validation images best and makes answers less sure" in notes(section)
    assert "expected calibration error, 15 bins); without the temperature by" in notes(section)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({}, "this run is from before ft fitted a temperature"),
        ({"temperature": (1.0,)}, "its temperature is 1, as where"),
    ],
)
def test_where_there_is_no_temperature_it_is_said_why(numbers: dict[str, tuple[float, ...]], said: str) -> None:
    section = calibration(*drawn(40, 3), LabelSpace(ABC, numbers=numbers))
    assert said in notes(section)
    assert [line.name for line in next(charts(section)).lines] == ["as answered"]


def test_precision_and_recall_at_each_threshold_are_those_of_scikit_learn() -> None:
    outputs, targets = drawn(300, 2)
    shares, positive = outputs.softmax(1)[:, 0], targets == 0
    slider, chart = by_threshold(shares, positive, 0.37)
    assert slider.values[slider.start] == 0.37
    for place in (4, 49, 90):
        over = (shares.double() >= slider.values[place]).numpy()
        precision, recall, f1, images, right = slider.rows[place]
        assert precision == pytest.approx(precision_score(positive.numpy(), over, zero_division=0))
        assert recall == pytest.approx(recall_score(positive.numpy(), over))
        assert f1 == pytest.approx(f1_score(positive.numpy(), over))
        assert (images, right) == (over.sum(), (over & positive.numpy()).sum())
    assert [line.name for line in chart.lines] == ["precision", "recall"]


def test_nothing_on_the_page_is_no_number_where_a_class_has_no_image() -> None:
    outputs, _ = drawn(60, 3)
    nobody = torch.zeros(60, dtype=torch.int64)
    for section in (
        calibration(outputs, nobody, LabelSpace(ABC)),
        calibration(outputs[:1], nobody[:1], LabelSpace(ABC)),
        of_labels(outputs, torch.full((60, 3), math.nan), LabelSpace(ABC), MultilabelSettings()),
    ):
        sliders = [each for parts in only(section, Choice).parts.values() for each in parts if isinstance(each, Slider)]
        assert len(sliders) == 3
        assert all(math.isfinite(number) for each in sliders for row in each.rows for number in row)
        assert all(
            math.isfinite(n) for chart in charts(section) for line in chart.lines for xy in line.points for n in xy
        )


def test_of_a_thousand_classes_those_with_most_mistakes_can_be_chosen() -> None:
    outputs, targets = drawn(2000, 1000)
    section = calibration(outputs, targets, LabelSpace(tuple(f"class {number}" for number in range(1000))))
    chosen = list(only(section, Choice).parts)
    assert len(chosen) == MOST
    assert f"the {MOST} classes with most mistakes; {1000 - MOST} classes are left out" in notes(section)
    wrong = targets[outputs.argmax(1) != targets].bincount(minlength=1000)
    assert min(int(wrong[int(name.split()[1])]) for name in chosen) >= wrong.sort(descending=True).values[MOST]


def test_a_label_stands_at_its_own_threshold_first_and_what_is_not_known_is_left_out() -> None:
    outputs = torch.tensor([[2.0, -1.0], [-2.0, 1.0], [0.5, 0.0], [-0.5, 3.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [math.nan, 0.0], [0.0, math.nan]])
    space = LabelSpace(("x", "y"), numbers={"thresholds": (0.7, 0.2)})
    section = of_labels(outputs, targets, space, MultilabelSettings())
    sliders = [parts[0] for parts in only(section, Choice).parts.values()]
    assert [each.values[each.start] for each in sliders if isinstance(each, Slider)] == [0.7, 0.2]
    assert isinstance(sliders[0], Slider)
    assert sliders[0].rows[0][3] == 3  # from 1 % on all images of which it is known
    (line,) = next(charts(section)).lines
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in line.points)
