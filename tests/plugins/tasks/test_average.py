"""What tasks make of the outputs for several views."""

from __future__ import annotations

import torch

from ft import LabelSpace
from ft_tasks.class_outputs import average as of_classes
from ft_tasks.classification import ClassificationSettings
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.multilabel_outputs import average as of_labels

VIEWS = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)) * 4


def test_probabilities_of_classes_are_averaged_at_the_temperature_of_the_space() -> None:
    space = LabelSpace(("a", "b", "c"), numbers={"temperature": (2.5,)})
    averaged = of_classes(VIEWS, space, ClassificationSettings())
    torch.testing.assert_close((averaged / 2.5).softmax(1), (VIEWS / 2.5).softmax(2).mean(0))
    targets = torch.arange(7) % 3
    losses = [torch.nn.functional.cross_entropy(each / 2.5, targets) for each in VIEWS]
    assert torch.nn.functional.cross_entropy(averaged / 2.5, targets) < sum(losses) / len(losses)


def test_probabilities_of_labels_are_averaged_one_by_one() -> None:
    averaged = of_labels(VIEWS, LabelSpace(("a", "b", "c")), MultilabelSettings())
    torch.testing.assert_close(averaged.sigmoid(), VIEWS.sigmoid().mean(0))


def test_sure_answers_stay_finite() -> None:
    sure = torch.tensor([[[300.0, -300.0, 0.0]], [[300.0, -300.0, 0.0]]])
    assert of_classes(sure, LabelSpace(("a", "b", "c")), ClassificationSettings()).isfinite().all()
    torch.testing.assert_close(of_labels(sure, LabelSpace(("a", "b", "c")), MultilabelSettings()), sure[0])
