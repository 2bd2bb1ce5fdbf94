"""Over what a sweep goes, as people write it."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ft.errors import FtError
from ft.tuning.space import Choices, Over, Range, grid_of, read_over, space_of


def over(text: str) -> Over:
    name, values = read_over(text)
    (found,) = space_of({name: values})
    return found


def test_a_range_of_numbers_is_read_with_its_form() -> None:
    rate, epochs = over("lr=1e-5..1e-2:log"), over("training.epochs=5..51:5")
    assert isinstance(rate, Range)
    assert isinstance(epochs, Range)
    assert (rate.path, rate.low, rate.high, rate.log, rate.whole) == (("training", "lr"), 1e-5, 1e-2, True, False)
    assert (epochs.high, epochs.whole, epochs.numbers and len(epochs.numbers)) == (50, True, 10), "the last that fits"
    assert (epochs.value(15.0), rate.value(3e-4)) == (15, 3e-4)


def test_a_key_that_takes_fractions_gets_them_from_whole_ends() -> None:
    mixup, batch = over("mixup=0..1"), over("batch-size=8..64")
    assert isinstance(mixup, Range)
    assert isinstance(batch, Range)
    assert (mixup.whole, batch.whole) == (False, True)


def test_a_range_may_stand_in_a_reference() -> None:
    depth, share = over("freeze=depth:1..4"), over("freeze=depth:20%..80%:20")
    assert isinstance(depth, Range)
    assert isinstance(share, Range)
    assert (depth.value(3), share.value(40), share.said(40)) == ("depth:3", "depth:40%", "depth:40%")


def test_values_are_separated_by_commas_outside_brackets_and_quotes() -> None:
    head = over("head=linear,{use: mlp, hidden: [256, 64]}")
    freeze = over("freeze=all,[depth:1, 'type:norm'],'regex:a,b',regex:x{1,2}")
    assert isinstance(head, Choices)
    assert isinstance(freeze, Choices)
    assert [value for _, value in head.values] == ["linear", {"use": "mlp", "hidden": [256, 64]}]
    assert [value for _, value in freeze.values] == ["all", ["depth:1", "type:norm"], "regex:a,b", "regex:x{1,2}"]


def test_values_are_what_set_would_make_of_them() -> None:
    found = over("clip-norm=null,1,0.5")
    assert isinstance(found, Choices)
    assert [found.value(text) for text in found.texts] == [None, 1, 0.5]


def test_a_file_and_python_say_the_same_with_lists_and_mappings() -> None:
    said: dict[str, Any] = {"lr": {"low": 1e-5, "high": 1e-2, "log": True}, "batch_size": [16, 32]}
    assert space_of(said) == space_of({"lr": "1e-05..0.01:log", "batch_size": "16,32"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lrr=1,2", "Did you mean 'lr'"),
        ("training.epoch=1,2", "Did you mean 'epochs'"),
        ("lr=1", "one value is nothing to choose from"),
        ("lr=1..2:lgo", "is no range"),
        ("lr=1..2,3", "a range stands alone"),
        ("lr=2..1", "from a smaller number to a larger one"),
        ("lr=0..1:log", "begins above 0"),
        ("lr=1,,2", "nothing between two commas"),
        ("lr=1,1", "1 is there twice"),
        ("freeze=[a,b", "']' is missing"),
        ("data=a,b", "the same for all of them"),
        ("val-fraction=0.1,0.2", "the same for all of them"),
        ("monitor=loss,accuracy", "the same for all of them"),
        ("run-dir=a,b", "the same for all of them"),
        ("epochs=1..3:7", "does not fit"),
        ("lr", "write --over KEY=VALUES"),
    ],
)
def test_a_mistake_is_said_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(FtError, match=said.replace("[", r"\[").replace("]", r"\]")):
        over(text)


def test_one_key_is_not_swept_over_twice_by_two_names() -> None:
    with pytest.raises(FtError, match="are the same key"):
        space_of({"lr": "1..2", "training.lr": "3,4"})


def test_a_grid_is_every_combination_and_needs_numbers_that_can_be_counted() -> None:
    grid = grid_of(space_of({"lr": "0.0..1.0:0.5", "head": "linear,mlp"}))
    assert [(each["lr"], each["head"]) for each in grid[:3]] == [(0.0, "linear"), (0.0, "mlp"), (0.5, "linear")]
    assert len(grid) == 6
    with pytest.raises(FtError, match="give it a step"):
        grid_of(space_of({"lr": "1e-5..1e-2:log"}))


numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda each: abs(each) > 1e-6 or each == 0)


@given(numbers, numbers)
def test_every_pair_of_numbers_in_order_is_a_range_that_keeps_them(low: float, high: float) -> None:
    if low >= high:
        return
    found = over(f"lr={low!r}..{high!r}")
    assert isinstance(found, Range)
    assert (found.low, found.high) == (low, high)
    assert math.isclose(float(str(found.value(high))), high)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_.]{0,8}", fullmatch=True), min_size=2, max_size=6, unique=True))
def test_every_list_of_names_is_read_as_it_is_typed(names: list[str]) -> None:
    found = over(f"head={','.join(names)}")
    assert isinstance(found, Choices)
    assert list(found.texts) == names


@given(st.text(max_size=30))
def test_every_text_is_a_space_or_a_mistake_that_is_said(text: str) -> None:
    with contextlib.suppress(FtError):
        assert over(f"lr={text}").name == "lr"
