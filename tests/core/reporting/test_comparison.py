"""Two runs on the same images, by values of single images alone."""

from __future__ import annotations

import pytest
import torch

from ft.errors import FtError
from ft.reporting.comparison import Valued, differing, told, versus


def answers(values: dict[str, float], label: str = "cat", counted: str = "accuracy", larger: bool = True) -> Valued:
    made = torch.tensor(list(values.values()), dtype=torch.float64)
    many = len(values)
    return Valued(tuple(range(many)), tuple(values), (label,) * many, ("dog",) * many, made, counted, larger)


def test_images_are_matched_by_content_whatever_their_order() -> None:
    found = versus(answers({"a": 1, "b": 0, "c": 1}), answers({"c": 0, "b": 1, "d": 1, "a": 1}))
    assert (len(found.rows), found.came_to.better, found.came_to.worse, found.came_to.means) == (
        3,
        1,
        1,
        (2 / 3, 2 / 3),
    )
    assert differing(found) == ([0], [1])
    assert found.rows == ((2, 0), (1, 1), (0, 3))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (answers({"a": 1}, label="dog"), "no image of one label"),
        (answers({"b": 1}), "no image of one label"),
        (answers({"a": 1}, counted="mae"), "judged by accuracy, the other by mae"),
    ],
)
def test_what_cannot_be_compared_says_why(other: Valued, said: str) -> None:
    with pytest.raises(FtError, match=said):
        versus(answers({"a": 1}), other)


def test_many_images_that_only_one_has_right_are_more_than_chance() -> None:
    names = [str(number) for number in range(40)]
    none, twelve = dict.fromkeys(names, 0.0), {name: float(number < 12) for number, name in enumerate(names)}
    found = versus(answers(none), answers(twelve))
    assert (found.came_to.better, found.came_to.worse) == (12, 0)
    assert found.came_to.p == pytest.approx(2 * 0.5**12 - 0.5**12)  # the mid-p value
    assert found.came_to.is_more_than_chance
    assert "better on 12, worse on 0; more than chance" in told(found)
    other = {name: float(number >= 28) for number, name in enumerate(names)}
    assert not versus(answers(twelve), answers(other)).came_to.is_more_than_chance


def test_numbers_are_compared_by_an_interval_and_smaller_may_be_better() -> None:
    generator = torch.Generator().manual_seed(0)
    off = {str(n): float(v) for n, v in enumerate(torch.rand(200, generator=generator) + 1)}
    less = {name: value - 0.5 - 0.01 * (int(name) % 2) for name, value in off.items()}
    found = versus(answers(off, counted="mae", larger=False), answers(less, counted="mae", larger=False))
    assert (found.came_to.better, found.came_to.worse, found.came_to.p) == (200, 0, None)
    assert found.came_to.interval is not None
    assert found.came_to.interval.low == pytest.approx(-0.505, abs=0.002)
    assert found.came_to.is_more_than_chance
    worse, better = differing(found)
    assert (len(worse), len(better)) == (0, 200)


def test_one_image_tells_nothing() -> None:
    found = versus(answers({"a": 0.25}), answers({"a": 0.5}))
    assert not found.came_to.is_more_than_chance
    assert "too few images to tell" in told(found)


def test_equal_runs_differ_in_nothing() -> None:
    assert told(versus(answers({"a": 1, "b": 0}), answers({"a": 1, "b": 0}))).endswith("better on none, worse on none")
