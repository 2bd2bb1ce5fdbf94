"""What the pages of runs show of classes, labels and numbers, and what answers without looking get."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from torch.nn.functional import cross_entropy

from ft import Chart, Choice, LabelSpace, Matrix, Note, Pictures, Section, Table
from ft_tasks import class_sections, multilabel_sections, regression_sections
from ft_tasks.classification import ClassificationSettings
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.regression import RegressionSettings

P = TypeVar("P")
CLASSES = LabelSpace(("cat", "dog", "owl"))
LABELS = LabelSpace(("crack", "dirt"), numbers={"thresholds": (0.5, 0.5)})
SIZES = LabelSpace(("height", "width"), numbers={"mean": (10.0, 0.0), "std": (2.0, 1.0)})
NAN = float("nan")


def parts_of(sections: list[Section], title: str, kind: type[P]) -> list[P]:
    (section,) = (each for each in sections if each.title == title)
    return [part for part in section.parts if isinstance(part, kind)]


# Classes

LOGITS = torch.tensor([[9.0, 0, 0], [0, 5, 0], [3, 0, 0], [0, 0.1, 0], [8, 0, 0]])
WERE = torch.tensor([0, 1, 1, 2, 2])


@pytest.fixture(scope="module")
def of_classes() -> list[Section]:
    return class_sections.sections(LOGITS, WERE, CLASSES, ClassificationSettings())


def test_the_matrix_holds_every_image_of_every_pair(of_classes: list[Section]) -> None:
    (matrix,) = parts_of(of_classes, "What was taken for what", Matrix)
    assert matrix.names == CLASSES.names
    assert matrix.cells == {(0, 0): (0,), (1, 1): (1,), (1, 0): (2,), (2, 1): (3,), (2, 0): (4,)}


def test_errors_come_by_how_sure_the_model_was_and_answers_by_how_unsure(of_classes: list[Section]) -> None:
    wrong, unsure = parts_of(of_classes, "Mistakes", Pictures)
    assert [shot.place for shot in wrong.shots] == [4, 2, 3]
    assert wrong.shots[0].caption == "owl, taken for cat, with 99.9%"
    assert [shot.of for shot in wrong.shots] == [0, 0, 1]
    assert [shot.place for shot in unsure.shots] == [3, 2, 1, 4, 0]
    assert unsure.shots[2].caption == "dog, rightly, with 98.7%"


def test_a_temperature_changes_how_sure_it_says_it_was_and_not_the_order() -> None:
    warm = LabelSpace(CLASSES.names, numbers={"temperature": (4.0,)})
    wrong, _ = parts_of(class_sections.sections(LOGITS, WERE, warm, ClassificationSettings()), "Mistakes", Pictures)
    assert [shot.place for shot in wrong.shots] == [4, 2, 3]
    assert wrong.shots[0].caption == "owl, taken for cat, with 78.7%"


def test_classes_that_are_never_answered_are_named(of_classes: list[Section]) -> None:
    (never,) = parts_of(of_classes, "By class", Note)
    assert never.text.startswith("Never answered: owl.")
    assert never.warns
    (table,) = parts_of(of_classes, "By class", Table)
    assert table.costs == (0, 1, 2)


def test_of_no_mistake_that_is_said() -> None:
    sections = class_sections.sections(LOGITS, LOGITS.argmax(1), CLASSES, ClassificationSettings())
    (said,) = parts_of(sections, "Mistakes", Note)
    assert said.text == "No image of this split was taken for another class."
    assert len(parts_of(sections, "Mistakes", Pictures)) == 1


def test_no_answer_without_looking_has_a_lower_loss_than_the_guess_of_classes() -> None:
    train = torch.tensor([0] * 6 + [1] * 3 + [2])
    guess = class_sections.guess(train, CLASSES, ClassificationSettings())
    assert int(guess.argmax()) == 0
    loss = cross_entropy(guess.expand(len(train), -1), train)
    for number in range(3):
        other = guess + 0.1 * torch.eye(3)[number]
        assert cross_entropy(other.expand(len(train), -1), train) > loss


# Labels

SAID = torch.tensor([[4.0, -4.0], [3.0, 2.0], [-5.0, 0.1], [-1.0, -2.0]])
HAVE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [NAN, 1.0]])


@pytest.fixture(scope="module")
def of_labels() -> list[Section]:
    return multilabel_sections.sections(SAID, HAVE, LABELS, MultilabelSettings())


def test_each_label_has_a_matrix_without_the_images_of_which_it_is_not_known(of_labels: list[Section]) -> None:
    (choice,) = parts_of(of_labels, "Label by label", Choice)
    assert list(choice.parts) == ["crack", "dirt"]
    (crack,), (dirt,) = choice.parts["crack"], choice.parts["dirt"]
    assert isinstance(crack, Matrix)
    assert crack.cells == {(0, 0): (0,), (1, 0): (1,), (0, 1): (2,)}
    assert isinstance(dirt, Matrix)
    assert dirt.cells == {(0, 0): (1,), (0, 1): (3,), (1, 0): (2,), (1, 1): (0,)}


def test_what_was_said_and_missed_most_surely_is_shown_with_its_label(of_labels: list[Section]) -> None:
    said, missed, near = parts_of(of_labels, "Mistakes", Pictures)
    assert [(shot.place, shot.of) for shot in said.shots] == [(1, 0), (2, 1)]
    assert said.shots[0].caption == "crack: has it not, 95.3%"
    assert [(shot.place, shot.of) for shot in missed.shots] == [(2, 0), (3, 1)]
    assert (near.shots[0].place, near.shots[0].of) == (2, 1)


def test_an_image_of_which_a_label_is_not_known_is_in_no_row_of_that_label(of_labels: list[Section]) -> None:
    shots = [shot for row in parts_of(of_labels, "Mistakes", Pictures) for shot in row.shots]
    assert (3, 0) not in [(shot.place, shot.of) for shot in shots]


def test_the_guess_of_labels_is_how_often_each_occurs_where_it_is_known() -> None:
    guess = multilabel_sections.guess(HAVE, LABELS, MultilabelSettings())
    torch.testing.assert_close(guess.sigmoid(), torch.tensor([2 / 3, 1 / 2]))
    never = multilabel_sections.guess(torch.tensor([[NAN, 0.0], [NAN, 0.0]]), LABELS, MultilabelSettings())
    assert never.isfinite().all()


# Numbers

OUTPUTS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
TRUTH = torch.tensor([[0.0, 0.0], [3.0, 1.0], [-1.0, 2.0]])


@pytest.fixture(scope="module")
def of_numbers() -> list[Section]:
    return regression_sections.sections(OUTPUTS, TRUTH, SIZES, RegressionSettings())


def test_points_are_what_was_true_and_answered_in_the_unit_of_each_target(of_numbers: list[Section]) -> None:
    (choice,) = parts_of(of_numbers, "Answered and true", Choice)
    against, off = choice.parts["height"]
    assert isinstance(against, Chart)
    assert against.diagonal
    assert against.lines[0].points == ((10.0, 10.0), (16.0, 12.0), (8.0, 8.0))
    assert against.lines[0].places == (0, 1, 2)
    assert isinstance(off, Chart)
    bars = off.lines[0].points
    assert sum(y for _, y in bars) == 3
    assert bars[0][1] == 1  # answered 4 too little
    assert bars[len(bars) // 2][1] == 2


def test_the_largest_errors_come_first_and_say_by_how_much(of_numbers: list[Section]) -> None:
    (choice,) = parts_of(of_numbers, "Largest errors", Choice)
    (pictures,) = choice.parts["width"]
    assert isinstance(pictures, Pictures)
    assert [(shot.place, shot.of) for shot in pictures.shots] == [(2, 1), (0, 1), (1, 1)]
    assert pictures.shots[0].caption == "2; answered 0, -2"


def test_one_target_needs_no_choice() -> None:
    space = LabelSpace(("value",), numbers={"mean": (0.0,), "std": (1.0,)})
    sections = regression_sections.sections(OUTPUTS[:, :1], TRUTH[:, :1], space, RegressionSettings())
    assert len(parts_of(sections, "Answered and true", Chart)) == 2
    assert len(parts_of(sections, "Largest errors", Pictures)) == 1


def test_the_guess_of_numbers_is_their_mean() -> None:
    assert regression_sections.guess(TRUTH, SIZES, RegressionSettings()).tolist() == [0.0, 0.0]
