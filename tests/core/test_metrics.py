from __future__ import annotations

import pytest
import torch

from ft.metrics import count_confusion, summarise


def test_figures_are_those_worked_out_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 2, 2])
    got = summarise(count_confusion(predicted, labels, 3), 0.5, ("a", "b", "c"))
    assert got.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))
    assert got.accuracy == pytest.approx(4 / 6)
    a, b, c = got.classes
    assert (a.precision, a.recall, a.f1, a.support) == pytest.approx((1.0, 2 / 3, 0.8, 3))
    assert (b.precision, b.recall, b.f1, b.support) == pytest.approx((0.5, 0.5, 0.5, 2))
    assert (c.precision, c.recall, c.f1, c.support) == pytest.approx((0.5, 1.0, 2 / 3, 1))
    assert got.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_a_class_without_images_does_not_lower_macro_f1() -> None:
    labels = torch.tensor([0, 1])
    got = summarise(count_confusion(labels, labels, 3), 0.0, ("a", "b", "absent"))
    assert got.macro_f1 == 1.0
    assert got.classes[2].support == 0


def test_the_figure_to_compare_by_grows_with_quality() -> None:
    labels = torch.tensor([0, 1])
    got = summarise(count_confusion(labels, labels, 2), 0.25, ("a", "b"))
    assert got.figure("accuracy") == 1.0
    assert got.figure("macro_f1") == 1.0
    assert got.figure("loss") == -0.25
