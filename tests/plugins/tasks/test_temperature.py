"""Calibration of classification: which temperature is fitted, when none is, and what it changes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from classified import classification
from ft.errors import FtError
from ft.extension.tasks import LabelSpace
from ft.task.evaluation import evaluate
from ft_tasks.classification import temperature_of
from ft_tasks.reliability import BINS, reliability
from ft_tasks.temperature import (
    FEWEST_IMAGES,
    FEWEST_MISTAKES,
    LARGEST,
    fit_temperature,
    shares_of,
    too_few,
)

ABC = LabelSpace(("a", "b", "c"))


def drawn(images: int, temperature: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of three classes, and classes that are as likely as these say when divided by the temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, 3, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]


def loss(outputs: Tensor, targets: Tensor, temperature: float) -> float:
    return float(cross_entropy(outputs.double() / temperature, targets))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_by_which_labels_were_drawn_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@given(st.integers(0, 2**16), st.integers(60, 300), st.floats(0.2, 6))
def test_it_is_where_scipy_finds_the_lowest_loss(seed: int, images: int, temperature: float) -> None:
    outputs, targets = drawn(images, temperature, seed)
    wanted = minimize_scalar(partial(loss, outputs, targets), bounds=(1 / LARGEST, LARGEST), method="bounded")
    found = fit_temperature(outputs, targets)
    assert loss(outputs, targets, found) <= wanted.fun + 1e-9
    assert 1 / LARGEST <= found <= LARGEST


def test_it_stays_within_bounds_where_the_loss_has_no_lowest_point() -> None:
    right = torch.eye(3).repeat(30, 1)
    assert fit_temperature(right, right.argmax(1)) == pytest.approx(1 / LARGEST)
    assert fit_temperature(right, (right.argmax(1) + 1) % 3) == pytest.approx(LARGEST)
    assert fit_temperature(torch.zeros(60, 3), torch.zeros(60, dtype=torch.int64)) > 0


def test_where_few_images_or_few_mistakes_tell_there_is_none_and_it_is_said_why() -> None:
    task, (outputs, targets) = classification(), drawn(400, 3.0)
    few = outputs[: FEWEST_IMAGES - 1], targets[: FEWEST_IMAGES - 1]
    sure = outputs.argmax(1)
    sure[: FEWEST_MISTAKES - 1] = (sure[: FEWEST_MISTAKES - 1] + 1) % 3
    for given_, said in ((few, "49 validation images"), ((outputs, sure), "4 mistakes on 400")):
        assert task.calibrate(*given_, ABC).numbers == {"temperature": (1.0,)}
        assert said in too_few(*given_)
    fitted = task.calibrate(outputs, targets, ABC)
    assert temperature_of(fitted) == pytest.approx(3, rel=0.3)
    assert too_few(outputs, targets) == ""


def test_answers_and_figures_stay_and_probabilities_say_how_often_they_are_right() -> None:
    task, (outputs, targets) = classification(), drawn(2000, 4.0)
    fitted = task.calibrate(outputs, targets, ABC)

    before, after = task.predict(outputs, ABC), task.predict(outputs, fitted)

    assert [each.label for each in before] == [each.label for each in after]
    assert evaluate([(outputs, targets)], task, ABC) == evaluate([(outputs, targets)], task, fitted)
    errors = []
    for answers in (before, after):
        right = torch.tensor([each.label == "abc"[t] for each, t in zip(answers, targets.tolist(), strict=True)])
        errors.append(reliability(torch.tensor([each.probability for each in answers]), right).expected_error())
    assert errors[0] > 0.1
    assert errors[1] < 0.03


def test_a_space_without_a_temperature_has_the_probabilities_of_the_logits_bit_for_bit() -> None:
    outputs, _ = drawn(50, 1.0)
    for answer, row in zip(classification().predict(outputs, ABC), outputs.softmax(1), strict=True):
        assert [answer.probabilities[name] for name in ABC.names] == row.tolist()


def test_the_largest_logit_stays_the_answer_where_probabilities_round_to_the_same() -> None:
    close = torch.tensor([[1.0, 1.0 + 2**-23, 0.0], [5.0, 5.0, 1.0]])
    shares = shares_of(close, 10.0)
    assert shares.argmax(1).tolist() == close.argmax(1).tolist()
    assert [
        each.label for each in classification().predict(close, LabelSpace(ABC.names, 3, {"temperature": (10.0,)}))
    ] == ["b", "a"]


@pytest.mark.parametrize("numbers", [(), (1.0, 2.0), (0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_what_is_no_temperature_is_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(FtError, match="temperature"):
        temperature_of(LabelSpace(ABC.names, 3, {"temperature": numbers}))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60))
def test_the_calibration_error_is_the_one_worked_out_bin_by_bin(answers: list[tuple[float, bool]]) -> None:
    said, right = torch.tensor([p for p, _ in answers]), torch.tensor([r for _, r in answers], dtype=torch.bool)
    expected = 0.0
    for number in range(BINS):
        inside = [
            (p, r)
            for p, r in zip(said.double().tolist(), right.tolist(), strict=True)
            if number / BINS * (number > 0) < p * 1.0 <= (number + 1) / BINS or (number == 0 and p == 0)
        ]
        if inside:
            gap = sum(p for p, _ in inside) / len(inside) - sum(r for _, r in inside) / len(inside)
            expected += abs(gap) * len(inside) / len(answers)
    assert reliability(said, right).expected_error() == pytest.approx(expected, abs=1e-9)
