"""regression: numbers, their scale, strata, answers, and what is refused or remarked on"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, strategies as st

from ft import Answer, FtError, Label, LabelSpace
from ft_tasks.regression import RegressionSettings, encode, space, strata
from ft_tasks.regression_answers import NumberAnswer, NumbersAnswer
from ft_tasks.regression_outputs import predict
from ft_tasks.regression_remarks import remarks

PLAIN = RegressionSettings()


def error(labels: Sequence[Label]) -> str:
    with pytest.raises(FtError) as raised:
        space(labels, PLAIN)
    return str(raised.value)


def answered(labels: Sequence[Label], known: LabelSpace) -> Sequence[Answer]:
    return predict(torch.tensor(encode(labels, known, PLAIN)), known, PLAIN)


def test_one_text_is_one_target_called_value() -> None:
    known = space(["1", "3", " 2.5e0 ", "+1.5"], PLAIN)
    assert known.names == ("value",)
    assert known.numbers == {"mean": (2.0,), "std": pytest.approx((0.79057,), abs=1e-5)}
    assert encode(["2"], known, PLAIN) == [(0.0,)]
    assert answered(["3"], known) == [NumberAnswer(pytest.approx(3))]


def test_columns_are_targets_in_their_order() -> None:
    labels = [{"width": "1", "age": "100"}, {"age": "300", "width": "2"}]
    known = space(labels, PLAIN)
    assert known == LabelSpace(("width", "age"), numbers={"mean": (1.5, 200), "std": (0.5, 100)})
    assert encode(labels, known, PLAIN) == [(-1, -1), (1, 1)]
    (first, _) = answered(labels, known)
    assert isinstance(first, NumbersAnswer)
    assert first.values == {"width": 1, "age": 100}
    assert first.said(5) == {"values": {"width": 1, "age": 100}}
    assert first.row(5) == {"width": 1, "age": 100}
    assert repr(first) == "<width 1, age 100>"


def test_one_column_is_answered_as_one_number_and_may_be_measured_by_a_text() -> None:
    known = space([{"age": "1"}, {"age": "3"}], PLAIN)
    (answer,) = answered(["3"], known)
    assert answer == NumberAnswer(3.0)
    assert answer.said(5) == {"value": 3.0}
    assert encode([{"age": "3"}], space(["1", "3"], PLAIN), PLAIN) == [(1.0,)]


numbers = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=8))
def test_numbers_come_back_from_their_targets(rows: list[tuple[float, float]]) -> None:
    if any(len(set(column)) == 1 for column in zip(*rows, strict=True)):
        return
    labels = [{"a": repr(a), "b": repr(b)} for a, b in rows]
    known = space(labels, PLAIN)
    for row, answer in zip(rows, answered(labels, known), strict=True):
        assert isinstance(answer, NumbersAnswer)
        scales = zip(known.numbers["mean"], known.numbers["std"], strict=True)
        for value, given_, (mean, deviation) in zip(answer.values.values(), row, scales, strict=True):
            assert value == pytest.approx(given_, abs=1e-6 * (abs(mean) + 3 * deviation))


# What is refused


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["1", "big"],
            "the label holds 'big', which is no number; regression learns numbers, as 12.5. Names are learnt",
        ),
        ([{"age": "old"}], "column 'age' holds 'old', which is no number"),
        (["1", "12,5"], "the label holds '12,5'; write numbers with a point and nothing else between digits, as 12.5"),
        (["1", "1.234,5"], "the label holds '1.234,5'; write numbers with a point"),
        (["1", "nan"], "the label holds 'nan', which is no finite number"),
        (["1", "-Inf"], "the label holds '-Inf', which is no finite number"),
        (["1", "1e999"], "the label holds '1e999', which is no finite number"),
        (["1", "1_000"], "'1_000', which is no number"),
        (["1", ""], "a label is empty; regression needs a number for every image"),
        ([{"age": "1", "size": " "}], "column 'size' is empty; regression needs a number for every image and target"),
        (["2", "2.0"], "every training image is 2; where nothing differs there is nothing to learn"),
        ([{"a": "1", "b": "3"}, {"a": "2", "b": "3"}], "'b' of every training image is 3;"),
        (["1e308", "-1e308"], "is so large, up to 1e+308, that numbers end; take another unit"),
        (["1", {"a": "1"}], "some labels are columns, others a text, as '1'"),
        ([{"a": "1"}, {"b": "2"}], "there is no target 'b'"),
        ([{"a": "1", "b": "1"}, {"a": "2"}], "an image has no value for b"),
    ],
)
def test_labels_of_another_kind_are_refused(labels: list[Label], message: str) -> None:
    assert message in error(labels)


def test_labels_that_do_not_fit_the_targets_are_refused() -> None:
    known = LabelSpace(("width", "age"), numbers={"mean": (0, 0), "std": (1, 1)})
    with pytest.raises(FtError, match=r"the one label '3', but there are 2 targets: width, age"):
        encode(["3"], known, PLAIN)
    with pytest.raises(FtError, match=r"there is no target 'with'\. Did you mean 'width'\? Targets: width, age"):
        encode([{"with": "3", "age": "1"}], known, PLAIN)


# What is set aside


def test_few_numbers_are_kinds_of_images_and_many_are_taken_by_tenths() -> None:
    assert strata([*"11111", "2.0", *"222222"], PLAIN) == [*"11111", *"2222222"]
    assert set(strata([*"1234567890"], PLAIN)) == {"range 1 of 1"}, "of a number that one image has, none is set aside"
    tenths = strata([str(number) for number in range(100)], PLAIN)
    assert tenths == [f"range {1 + number // 10} of 10" for number in range(100)]
    far = strata([{"a": str(n), "b": str(n * 1e9)} for n in range(100)], PLAIN)
    assert far == tenths


# What is remarked on


def said(train: Sequence[float], val: Sequence[float] = (), name: str = "value") -> list[str]:
    labels: list[Label] = [{name: str(each)} for each in train]
    known = space(labels, PLAIN)

    def targets(numbers: Sequence[float]) -> torch.Tensor:
        return torch.tensor(encode([{name: str(each)} for each in numbers], known, PLAIN))

    found = remarks({"train": targets(train), "val": targets(val), "test": targets([])}, known, PLAIN)
    return [("warning: " if each.warns else "") + each.text for each in found]


def test_numbers_outside_the_range_of_training_are_said() -> None:
    train = [0.5, 1.5, 2.25]
    assert said(train, [0.5, 2.25]) == []
    assert said(train, [0.4, 2.0]) == ["warning: val has numbers outside the range of train: 1 image of 2"]
    assert said(train, [3.0], name="age") == [
        "warning: val has numbers outside the range of train, as of 'age': 1 image of 1"
    ]


def test_few_whole_numbers_get_a_hint_to_classification() -> None:
    (hint,) = said([0, 1, 2] * 10)
    assert hint.startswith("the labels are one of 3 whole numbers (0, 1, 2) in 30 training images; if they stand for")
    assert said([1e6, 1e6 + 7] * 10, name="count")[0].startswith("'count' is one of 2 whole numbers (1000000, 1000007)")
    assert said([0, 1, 2.5] * 10) == []
    assert said(list(range(30))) == []
    assert said([0, 1, 2] * 2) == []


def test_a_number_that_float_cannot_hold_is_no_whole_number() -> None:
    assert said([1e12, 3e12] * 10) == []
    assert math.isfinite(space(["1e12", "3e12"], PLAIN).numbers["std"][0])


@pytest.mark.parametrize(
    "numbers",
    [
        {},
        {"mean": (1.0,)},
        {"mean": (1.0,), "std": ()},
        {"mean": (1.0, 2.0), "std": (1.0,)},
        {"mean": (1.0,), "std": (0.0,)},
        {"mean": (math.nan,), "std": (1.0,)},
    ],
)
def test_answers_need_a_mean_and_a_deviation_of_each_target(numbers: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(FtError, match=r"numbers\.(mean|std) holds"):
        predict(torch.zeros(1, 1), LabelSpace(("value",), numbers=numbers), RegressionSettings())
    negative = LabelSpace(("value",), numbers={"mean": (-2.0,), "std": (1.0,)})
    assert predict(torch.zeros(1, 1), negative, RegressionSettings()) == [NumberAnswer(-2.0)]
