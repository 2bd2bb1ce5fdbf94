from __future__ import annotations

import tracemalloc

import pytest
import torch

from ft.task.evaluation import TOGETHER, RightAnswers, evaluate, figures_of
from ft.task.metrics import Answers, Evaluation, Figures, Taken, figures, summarise


def worked_out() -> Evaluation:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 2, 2])
    return summarise(Answers(labels, predicted, 0.5), ("a", "b", "c"))


def test_figures_are_those_worked_out_by_hand() -> None:
    got = worked_out()
    assert got.matrix() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert got.accuracy == pytest.approx(4 / 6)
    a, b, c = got.classes
    assert (a.precision, a.recall, a.f1, a.support) == pytest.approx((1.0, 2 / 3, 0.8, 3))
    assert (b.precision, b.recall, b.f1, b.support) == pytest.approx((0.5, 0.5, 0.5, 2))
    assert (c.precision, c.recall, c.f1, c.support) == pytest.approx((0.5, 1.0, 2 / 3, 1))
    assert got.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_what_was_taken_for_what_is_told_by_name_and_without_what_never_happened() -> None:
    got = worked_out()
    assert got.confusion == (
        Taken("a", "a", 2), Taken("a", "b", 1), Taken("b", "b", 1), Taken("b", "c", 1), Taken("c", "c", 1)
    )  # fmt: skip


def test_what_costs_most_comes_first() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    got = summarise(Answers(labels, torch.tensor([0, 2, 0, 0, 2, 2]), 0.0), ("a", "b", "c"))
    assert got.mistakes == [Taken("b", "a", 2), Taken("a", "c", 1), Taken("b", "c", 1)]
    assert [each.name for each in got.costliest()] == ["b", "a", "c"]


def test_a_class_without_images_does_not_lower_macro_f1() -> None:
    labels = torch.tensor([0, 1])
    got = summarise(Answers(labels, labels, 0.0), ("a", "b", "absent"))
    assert got.macro_f1 == 1.0
    assert got.classes[2].support == 0


@pytest.mark.parametrize(
    ("monitor", "better", "worse"),
    [
        ("accuracy", Figures(0.9, 0.8, 0.1), Figures(0.1, 0.7, 0.9)),
        ("macro_f1", Figures(0.9, 0.1, 0.8), Figures(0.1, 0.9, 0.7)),
        ("loss", Figures(0.1, 0.1, 0.1), Figures(0.2, 0.9, 0.9)),
        ("accuracy", Figures(0.34, 0.8, 0.1), Figures(0.56, 0.8, 0.9)),
        ("macro_f1", Figures(0.34, 0.1, 0.8), Figures(0.56, 0.9, 0.8)),
    ],
)
def test_what_epochs_are_compared_by_grows_with_quality_and_the_loss_decides_between_equals(
    monitor: str, better: Figures, worse: Figures
) -> None:
    assert better.merit(monitor) > worse.merit(monitor)


def test_batches_are_summed_up_as_if_they_were_one() -> None:
    logits, labels = torch.randn(17, 3, generator=torch.Generator().manual_seed(0)), torch.arange(17) % 3
    whole = evaluate([(logits, labels)], "abc")
    parts = evaluate(zip(logits.split(4), labels.split(4), strict=True), "abc")
    assert parts.confusion == whole.confusion
    assert parts.loss == pytest.approx(whole.loss)
    assert whole.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert figures_of([(logits, labels)], 3) == Figures(whole.loss, whole.accuracy, whole.macro_f1)
    assert figures_of([], 3) == Figures(0.0, 0.0, 0.0)


def test_twelve_thousand_classes_take_no_square_of_that() -> None:
    labels = torch.arange(12_000)
    tracemalloc.start()
    figures(Answers(labels, labels.flip(0), 0.0), len(labels))
    got = summarise(Answers(labels, labels.flip(0), 0.0), list(map(str, range(12_000))))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6
    assert (len(got.classes), len(got.confusion), got.accuracy) == (12_000, 12_000, 0.0)


def test_right_answers_are_counted_once_however_many_come_together() -> None:
    right, told, expected = RightAnswers(), 0, 0
    assert right.left() == 0
    for step, images in enumerate((5, 3, TOGETHER // 4, 2, 1)):
        torch.manual_seed(step)
        logits, labels = torch.randn(images, 4), torch.randint(4, (images,))
        expected += int((logits.argmax(1) == labels).sum())
        told += right.among([(logits[:1], labels[:1]), (logits[1:], labels[1:])])
        assert step < 2 or told > 0
    assert told < expected
    assert told + right.left() == expected
    assert right.left() == 0
