"""multilabel: figures are those of scikit-learn; thresholds those of the highest F1; the loss, its slope, its bend"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings as limits, strategies as st
from sklearn.metrics import average_precision_score, f1_score, log_loss, precision_score, recall_score
from torch import Tensor

from ft import FtError, LabelSpace
from ft_tasks.multilabel import MultilabelSettings
from ft_tasks.multilabel_figures import MultilabelMeter, calibrate
from ft_tasks.multilabel_loss import make_loss, tally
from ft_tasks.multilabel_outputs import predict
from ft_tasks.thresholds import ranking

PLAIN = MultilabelSettings()
few = limits(max_examples=20, deadline=None)
Answered = tuple[Tensor, Tensor]


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    """Logits [N, K] with many ties, and targets with unknown ones, for some labels with no positive at all."""
    count, labels = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    logits = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5])
    wanted = st.sampled_from([0.0, 0.0, 1.0, math.nan])

    def table(cells: st.SearchStrategy[float]) -> Tensor:
        row = st.lists(cells, min_size=labels, max_size=labels)
        return torch.tensor(draw(st.lists(row, min_size=count, max_size=count)))

    return table(logits), table(wanted)


def space(targets: Tensor, **numbers: tuple[float, ...]) -> LabelSpace:
    return LabelSpace(tuple(map(str, range(targets.shape[1]))), numbers=numbers)


def measured(answered: Answered, settings: MultilabelSettings = PLAIN, **numbers: tuple[float, ...]) -> MultilabelMeter:
    meter = MultilabelMeter(space(answered[1], **numbers), settings)
    meter.add(*answered)
    return meter


@few
@given(answers(), st.floats(0.05, 0.95))
def test_every_figure_is_that_of_scikit_learn(answered: Answered, threshold: float) -> None:
    meter = measured(answered, MultilabelSettings(thresholds=threshold))
    outputs, targets = (each.double().numpy() for each in answered)
    shares = 1 / (1 + np.exp(-outputs))
    known, claimed = ~np.isnan(targets), shares >= threshold
    columns = [(targets[k, c], claimed[k, c], outputs[k, c]) for c, k in enumerate(known.T)]
    there = [column for column in columns if (column[0] == 1).any()]
    figures = meter.figures()

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    assert figures["mean_average_precision"] == pytest.approx(
        mean([average_precision_score(y, s) for y, _, s in there])
    )
    assert figures["macro_f1"] == pytest.approx(mean([f1_score(y, c, zero_division=0) for y, c, _ in there]))
    if known.any():
        assert figures["micro_f1"] == pytest.approx(f1_score(targets[known], claimed[known], zero_division=0))
        assert figures["loss"] == pytest.approx(log_loss(targets[known], shares[known], labels=[0, 1]))
    for row, (y, c, s) in zip(meter.tables()[0].rows, columns, strict=True):
        if len(y):
            assert row["precision"] == pytest.approx(precision_score(y, c, zero_division=0))
            assert row["recall"] == pytest.approx(recall_score(y, c, zero_division=0))
            assert row["f1"] == pytest.approx(f1_score(y, c, zero_division=0))
            assert row["average_precision"] == pytest.approx(average_precision_score(y, s) if (y == 1).any() else 0)
        assert row["positives"] == (y == 1).sum()


@few
@given(answers())
def test_a_threshold_is_where_f1_is_highest(answered: Answered) -> None:
    outputs, targets = answered
    found = calibrate(outputs, targets, space(targets), PLAIN).numbers["thresholds"]
    for place, threshold in enumerate(found):
        known = ~targets[:, place].isnan()
        y, p = targets[known, place].numpy(), outputs[known, place].double().sigmoid().numpy()
        if not (y == 1).any():
            assert threshold == 0.5
            continue
        f1 = [2 * (y[p >= each] == 1).sum() / ((p >= each).sum() + (y == 1).sum()) for each in p]
        assert f1_score(y, p >= threshold) == pytest.approx(max(f1))
        assert threshold not in p
    again = measured(answered, thresholds=found)
    assert again.figures() == measured(answered).figures(), "while there are none, those that are best here are taken"


def test_a_threshold_lies_midway_and_is_the_same_each_time() -> None:
    outputs, targets = torch.tensor([[2.0], [1.0], [-1.0], [-2.0]]), torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    (threshold,) = calibrate(outputs, targets, space(targets), PLAIN).numbers["thresholds"]
    assert threshold == pytest.approx(0.5)
    (fixed,) = calibrate(outputs, targets, space(targets), MultilabelSettings(thresholds=0.3)).numbers["thresholds"]
    assert fixed == 0.3
    (lowest,) = calibrate(outputs, torch.ones(4, 1), space(targets), PLAIN).numbers["thresholds"]
    assert 0 < lowest < torch.sigmoid(torch.tensor(-2.0))


def test_logits_whose_probabilities_are_both_one_still_rank() -> None:
    ranked = ranking(np.array([90.0, 80.0], np.float32), np.array([True, False]))
    assert ranked.average_precision() == 1
    assert ranked.best_threshold() == 1


@few
@given(answers(), st.integers(0, 12))
def test_meters_that_are_merged_equal_one(answered: Answered, at: int) -> None:
    first, second = (measured((answered[0][part], answered[1][part])) for part in (slice(at), slice(at, None)))
    first.merge(second)
    assert first.figures() == pytest.approx(measured(answered).figures())
    assert first.tables() == measured(answered).tables()


def test_a_meter_that_took_nothing_says_zero() -> None:
    meter = MultilabelMeter(LabelSpace(("a", "b")), PLAIN)
    assert set(meter.figures().values()) == {0}
    assert len(meter.tables()[0].rows) == 2


def test_the_worst_labels_are_those_with_most_mistakes() -> None:
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    table = measured((torch.tensor([[5.0, -5.0], [-5.0, 5.0]]), targets), MultilabelSettings(thresholds=0.5)).tables()[
        0
    ]
    assert table.costs == (0, 2)


# The loss


def balanced(**settings: float) -> MultilabelSettings:
    return MultilabelSettings.model_validate({"positive_weights": "balanced", **settings})


def test_what_is_unknown_does_not_count() -> None:
    outputs = torch.randn(3, 2, requires_grad=True)
    targets = torch.tensor([[1.0, math.nan], [math.nan, math.nan], [0.0, 1.0]])
    loss = make_loss(space(targets), PLAIN, targets)
    shares = outputs.detach().sigmoid()
    expected = -(shares[0, 0].log() + (1 - shares[2, 0]).log() + shares[2, 1].log()) / 3
    assert torch.allclose(loss(outputs, targets), expected)
    assert loss.weight(targets) == 3
    loss(outputs, targets).backward()
    assert outputs.grad is not None
    assert (outputs.grad[targets.isnan()] == 0).all()
    nothing = loss(outputs[1:2], targets[1:2])
    assert nothing == 0 == loss.weight(targets[1:2])


def test_parts_of_a_batch_add_up_by_their_weights() -> None:
    outputs, targets = torch.randn(6, 3), torch.tensor([[1.0, 0.0, math.nan]] * 3 + [[1.0, 0.0, 0.0]] * 3)
    loss = make_loss(space(targets), balanced(), targets)
    parts = [(outputs[:2], targets[:2]), (outputs[2:], targets[2:])]
    total = sum(loss(*part) * loss.weight(part[1]) for part in parts)
    assert torch.allclose(total / loss.weight(targets), loss(outputs, targets))


def test_balanced_weights_are_negatives_by_positives_within_bounds() -> None:
    targets = torch.tensor([[1.0, 1.0, 0.0, 1.0]] + [[0.0, 0.0, 0.0, 1.0]] * 3 + [[0.0, math.nan, 0.0, 1.0]] * 2)
    weights = make_loss(space(targets), balanced(), targets).positive_weights
    assert weights is not None
    assert weights.tolist() == pytest.approx([5, 3, 6, 0.1])
    weights = make_loss(space(targets), balanced(most_weight=4), targets).positive_weights
    assert weights is not None
    assert weights.tolist() == [4, 3, 4, 0.25]


@pytest.mark.parametrize("settings", [PLAIN, balanced()])
def test_the_curvature_is_near_the_losses_own_and_never_zero(settings: MultilabelSettings) -> None:
    outputs = torch.tensor([[0.1, -0.2], [0.0, 0.3], [60.0, 60.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0], [0.0, math.nan], [1.0, 1.0]])
    loss = make_loss(space(targets), settings, targets)
    hessian = torch.autograd.functional.hessian(lambda logits: loss(logits, targets), outputs)
    bends = torch.stack([torch.stack([hessian[n, k, n, k] for k in range(2)]).mean() for n in range(3)])
    curvature = loss.curvature(outputs, targets)
    assert (curvature > 0).all()
    assert (curvature[:2] >= bends[:2] * (1 - 1e-6)).all()
    assert (curvature[:2] <= 1.6 * bends[:2]).all()


def test_the_tally_is_the_share_of_known_labels_that_are_right() -> None:
    targets = torch.tensor([[1.0, 0.0, math.nan], [1.0, 1.0, 1.0], [math.nan, math.nan, math.nan]])
    outputs = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [1.0, 1.0, 1.0]])
    assert tally(outputs, targets, space(targets), PLAIN).tolist() == pytest.approx([1 / 2, 2 / 3, 1])


@pytest.mark.parametrize("thresholds", [(), (0.5,), (0.5, 0.5, 0.5), (0.5, 0.0), (math.inf, 0.5)])
def test_thresholds_are_one_a_label(thresholds: tuple[float, ...]) -> None:
    named = LabelSpace(("a", "b"), numbers={"thresholds": thresholds})
    with pytest.raises(FtError, match=r"numbers\.thresholds holds"):
        predict(torch.zeros(1, 2), named, PLAIN)
