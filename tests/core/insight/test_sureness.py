"""How far the figures of a split can be trusted, by its task."""

from __future__ import annotations

import pytest
import torch

from classified import classification
from ft.extension.tasks import LabelSpace
from ft.insight.intervals import wilson
from ft.insight.sureness import how_sure, warned_of

SPACE = LabelSpace(("ok", "crack", "dirt"))
TRAIN = torch.tensor([0] * 14 + [1] * 4 + [2] * 2)
TARGETS = torch.tensor([0] * 7 + [1] * 2 + [2])
OUTPUTS = torch.eye(3)[torch.tensor([0] * 7 + [1] * 2 + [0])] * 9


def test_a_share_of_images_has_wilsons_interval_and_a_guess_is_the_most_frequent_class() -> None:
    task = classification()
    accuracy, macro_f1 = how_sure(task, SPACE, TRAIN, {"accuracy": 0.9, "macro_f1": 0.6}, 10, (OUTPUTS, TARGETS))
    assert accuracy.interval == wilson(9, 10)
    assert accuracy.guess == pytest.approx(0.7)
    assert macro_f1.interval is not None
    assert macro_f1.interval.low <= macro_f1.value <= macro_f1.interval.high
    assert macro_f1.guess == pytest.approx(2 * 0.7 / 1.7 / 3)


def test_without_answers_shares_alone_have_an_interval() -> None:
    accuracy, macro_f1 = how_sure(classification(), SPACE, TRAIN, {"accuracy": 0.9, "macro_f1": 0.6}, 10, None)
    assert accuracy.interval == wilson(9, 10)
    assert [macro_f1.interval, accuracy.guess, macro_f1.guess] == [None, None, None]


def test_the_task_warns_of_a_class_that_is_never_answered() -> None:
    (never,) = [text for text in warned_of(classification(), SPACE, (OUTPUTS, TARGETS)) if "ever answered" in text]
    assert "dirt" in never
    assert "crack" not in never
    right = torch.eye(3)[TARGETS] * 9
    assert not any("ever answered" in text for text in warned_of(classification(), SPACE, (right, TARGETS)))
