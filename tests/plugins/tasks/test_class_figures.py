"""The figures of classification."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn import metrics

from classified import classification
from ft.extension.tasks import LabelSpace, Table
from ft.task.evaluation import Evaluation, evaluate, figures_of


def taken_for(labels: torch.Tensor, predicted: torch.Tensor, names: str = "abc") -> Evaluation:
    """What an evaluation comes to where images of `labels` are taken for `predicted`, beyond doubt."""
    logits = torch.nn.functional.one_hot(predicted, len(names)).float()
    return evaluate([(logits, labels)], classification(), LabelSpace(tuple(names)))


def rows(evaluation: Evaluation, name: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table(evaluation, name).rows]


def table(evaluation: Evaluation, name: str) -> Table:
    return next(each for each in evaluation.tables if each.name == name)


def worked_out() -> Evaluation:
    return taken_for(torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 2, 2]))


def test_figures_are_those_worked_out_by_hand() -> None:
    got = worked_out()
    assert got["accuracy"] == pytest.approx(4 / 6)
    a, b, c = rows(got, "classes")
    assert a == ("a", 1.0, pytest.approx(2 / 3), pytest.approx(0.8), 3)
    assert b == ("b", 0.5, 0.5, 0.5, 2)
    assert c == ("c", 0.5, 1.0, pytest.approx(2 / 3), 1)
    assert got["macro_f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_what_was_taken_for_what_is_told_by_name_and_without_what_never_happened() -> None:
    assert rows(worked_out(), "confusion") == [
        ("a", "a", 2), ("a", "b", 1), ("b", "b", 1), ("b", "c", 1), ("c", "c", 1)
    ]  # fmt: skip


def test_a_class_costs_the_images_that_were_taken_for_another() -> None:
    got = taken_for(torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([0, 2, 0, 0, 2, 2]))
    assert table(got, "classes").costs == (1, 3, 0)


def test_a_class_without_images_does_not_lower_macro_f1() -> None:
    labels = torch.tensor([0, 1])
    got = taken_for(labels, labels)
    assert got["macro_f1"] == 1.0
    assert rows(got, "classes")[2][-1] == 0


def test_batches_and_meters_are_summed_up_as_if_they_were_one() -> None:
    logits, labels = torch.randn(17, 3, generator=torch.Generator().manual_seed(0)), torch.arange(17) % 3
    task, space = classification(), LabelSpace(tuple("abc"))
    whole = evaluate([(logits, labels)], task, space)
    parts = evaluate(zip(logits.split(4), labels.split(4), strict=True), task, space)
    assert parts.tables == whole.tables
    assert parts["loss"] == pytest.approx(whole["loss"])
    assert whole["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert figures_of([(logits, labels)], task, space) == whole.figures
    assert figures_of([], task, space) == {"loss": 0.0, "accuracy": 0.0, "macro_f1": 0.0}
    one, other = task.meter(space), task.meter(space)
    one.add(logits[:5], labels[:5])
    other.add(logits[5:], labels[5:])
    one.merge(other)
    assert one.figures() == pytest.approx(whole.figures)


def test_twelve_thousand_classes_take_no_square_of_that() -> None:
    labels, names = torch.arange(12_000), tuple(map(str, range(12_000)))
    meter = classification().meter(LabelSpace(names))
    for some in labels.split(100):
        meter.add(torch.nn.functional.one_hot(11_999 - some, 12_000).float(), some)
    tracemalloc.start()
    figures, (classes, confusion) = meter.figures(), meter.tables()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 25e6
    assert (len(classes.rows), len(confusion.rows), figures["accuracy"]) == (12_000, 12_000, 0.0)


@settings(max_examples=25)
@given(st.data())
def test_figures_are_those_of_scikit_learn(data: st.DataObject) -> None:
    classes, images = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 30))
    numbers = st.lists(st.integers(0, classes - 1), min_size=images, max_size=images)
    labels, predicted = data.draw(numbers), data.draw(numbers)
    got = taken_for(torch.tensor(labels), torch.tensor(predicted), "abcde"[:classes])
    present = sorted(set(labels))
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    macro = metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert got["macro_f1"] == pytest.approx(macro)
    shares = torch.nn.functional.one_hot(torch.tensor(predicted), classes).double().softmax(1)
    assert got["loss"] == pytest.approx(metrics.log_loss(labels, shares.numpy(), labels=range(classes)))
    rows_by_class = rows(got, "classes")
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=0
    )
    for (_, p, r, f, n), *expected in zip(rows_by_class, precision, recall, f1, support, strict=True):
        assert (p, r, f, n) == pytest.approx(tuple(expected))
