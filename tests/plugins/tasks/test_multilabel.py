"""multilabel: labels, targets, strata, answers, and what is refused or remarked on"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given, strategies as st

from ft import FtError, Label, LabelSpace
from ft_tasks.multilabel import MultilabelSettings, encode, space, strata
from ft_tasks.multilabel_answers import LabelsAnswer
from ft_tasks.multilabel_outputs import predict
from ft_tasks.multilabel_remarks import remarks

PLAIN = MultilabelSettings()
NAN = math.nan


def same(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> bool:
    return torch.equal(torch.tensor(left).nan_to_num(9), torch.tensor(right).nan_to_num(9))


def error(labels: Sequence[Label], **settings: object) -> str:
    with pytest.raises(FtError) as raised:
        space(labels, MultilabelSettings.model_validate(settings))
    return str(raised.value)


def test_texts_are_names_with_semicolons_between_them() -> None:
    labels = ["label 10; label 9", "", "label 9;;label 9", "a"]
    known = space(labels, PLAIN)
    assert known == LabelSpace(("a", "label 9", "label 10"))
    assert encode(labels, known, PLAIN) == [(0, 1, 1), (0, 0, 0), (0, 1, 0), (1, 0, 0)]


def test_columns_hold_yes_no_or_nothing_and_keep_their_order() -> None:
    labels = [{"z": "1", "a": "No"}, {"z": "", "a": "true"}, {"a": "0.0", "z": "1.0"}]
    known = space(labels, PLAIN)
    assert known.names == ("z", "a")
    assert same(encode(labels, known, PLAIN), [(1, 0), (NAN, 1), (1, 0)])


def test_one_label_is_enough() -> None:
    assert space(["crack", ""], PLAIN).names == ("crack",)
    assert space([{"crack": "1"}, {"crack": "0"}], PLAIN).names == ("crack",)


def test_a_model_that_knows_columns_reads_names_and_the_other_way_round() -> None:
    assert encode(["b;a", ""], LabelSpace(("a", "b")), PLAIN) == [(1, 1), (0, 0)]
    assert encode([{"b": "1", "a": "0"}], LabelSpace(("a", "b")), PLAIN) == [(0, 1)]


names = st.text("abc 1", min_size=1, max_size=4).map(str.strip).filter(bool)


@given(st.lists(st.sets(names, max_size=4), min_size=1, max_size=8), st.sampled_from(";|"))
def test_labels_come_back_from_their_targets(sets: list[set[str]], separator: str) -> None:
    settings = MultilabelSettings(separator=separator, one_each="allow")
    labels = [separator.join(sorted(each)) for each in sets]
    if not any(sets):
        return
    known = space(labels, settings)
    for target, names in zip(encode(labels, known, settings), sets, strict=True):
        assert {name for name, value in zip(known.names, target, strict=True) if value} == names


# What is refused


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a;b", {"a": "1"}], "some labels are columns, others a text, as 'a;b'"),
        (["", " ; "], "no training image has a label; write names with ';' between them"),
        ([{"a": "0"}, {"a": ""}], "no training image has a label; the columns a hold no 1"),
        ([{"a": "1", "b": "maybe"}], "column 'b' holds 'maybe'; a label's column holds 1, 0, or nothing"),
        (
            [{"a": "-1"}],
            "column 'a' holds '-1'; a label's column holds 1, 0, or nothing where it is not known. Numbers",
        ),
        ([{"a": "1"}, {"b": "1"}], "there is no label 'b'"),
        ([{"a": "1", "b": "0"}, {"a": "1"}], "an image has no value for b; give it a column"),
    ],
)
def test_labels_of_another_kind_are_refused(labels: list[Label], message: str) -> None:
    assert message in error(labels)


def test_a_folder_of_classes_is_refused_with_what_to_use_unless_it_is_meant() -> None:
    text = error(["cat", "dog", "cat"])
    assert (
        "every training image has exactly one label, as in a folder of classes: that is --task classification" in text
    )
    assert "csv:FILE" in text
    assert "--set 'data.columns=[a, b]'" in text
    assert space(["cat", "dog"], MultilabelSettings(one_each="allow")).names == ("cat", "dog")


def test_a_label_that_training_lacks_is_told_with_the_nearest() -> None:
    with pytest.raises(FtError, match=r"no training image has the label 'crak'\. Did you mean 'crack'\? Labels of"):
        encode(["crack;crak"], LabelSpace(("crack", "dirt")), PLAIN)
    with pytest.raises(FtError, match=r"there is no label 'crak'\. Did you mean 'crack'"):
        encode([{"crak": "1", "dirt": "0"}], LabelSpace(("crack", "dirt")), PLAIN)


# What is set aside


def test_images_are_alike_by_the_rarest_label_they_have() -> None:
    labels = ["a;b", "a", "", "b;a;c", "a;b"]
    assert strata(labels, PLAIN) == ["b", "a", "", "c", "b"]
    assert strata([{"a": "1", "b": "1"}, {"a": "1", "b": ""}], PLAIN) == ["b", "a"]


# What is remarked on


def said(train: Sequence[Sequence[float]], names: str = "ab", **parts: Sequence[Sequence[float]]) -> list[str]:
    rows = {"train": train, "val": parts.get("val", ()), "test": parts.get("test", ())}
    targets = {part: torch.tensor(each) for part, each in rows.items()}
    found = remarks(targets, LabelSpace(tuple(names.split())), PLAIN)
    return [("warning: " if each.warns else "") + each.text for each in found]


def test_how_many_images_have_none_or_unknown_labels_is_said() -> None:
    train, val = [(1, 0), (0, 0), (NAN, 1), (1, 1)], [(0, 0), (1, 1)]
    assert said(train, "a b", val=val) == [
        "images that have none of the labels: 1 of 4 in train, 1 of 2 in val",
        "labels that are not known, and do not count: 12.5 % in train, 0 % in val",
    ]
    assert "warning: 1 training image has no known label" in said([*train, (NAN, NAN)], "a b")


def test_labels_that_nothing_shows_or_lacks_are_said() -> None:
    found = said([(1, 0), (1, 0)], "a b", test=[(0, 0)])
    assert "warning: train has no image with 1 label of 2, so it cannot be learnt: b" in found
    assert "warning: test has no image with 2 labels of 2, so nothing measures it: a, b" in found
    assert "warning: train has no image that is known to lack a, so it cannot be told apart" in found


def test_labels_that_look_like_another_task_get_a_hint() -> None:
    assert (
        "exactly one label; if no image can have two, that is --task classification" in said([(1, 0), (0, 1)], "a b")[0]
    )
    (several,) = (each for each in said([(1, 0, 1), (0, 1, 1), (1, 0, 0)], "a a|b b") if "separator" in each)
    assert several.startswith("warning: the label 'a|b' looks like several in one")
    many = [[float(row == column or row == 0) for column in range(25)] for row in range(25)]
    assert any("25 different numbers" in each for each in said(many, " ".join(f"0.{n}1" for n in range(25))))


# What is answered


def answered(outputs: Sequence[float], *thresholds: float, **settings: object) -> LabelsAnswer:
    numbers: Mapping[str, tuple[float, ...]] = {"thresholds": thresholds} if thresholds else {}
    known = LabelSpace(("a", "b", "c"), numbers=numbers)
    (answer,) = predict(torch.tensor([outputs]), known, MultilabelSettings.model_validate(settings))
    return answer


def test_an_answer_has_the_labels_that_reach_their_threshold_the_likeliest_first() -> None:
    outputs = (0.0, -1.0, 3.0)  # 0.5, 0.27, 0.95
    assert answered(outputs).labels == ("c", "a")
    assert answered(outputs, 0.51, 0.26, 0.9).labels == ("c", "b")
    assert answered(outputs, 0.51, 0.26, 0.9, thresholds=0.2).labels == ("c", "a", "b")
    assert answered((-9.0, -9.0, -9.0)).labels == ()


def test_probabilities_are_each_by_itself() -> None:
    answer = answered((0.0, 2.0, -2.0))
    assert list(answer.probabilities) == ["b", "a", "c"]
    assert answer.probabilities == pytest.approx({"b": 0.8808, "a": 0.5, "c": 0.1192}, abs=1e-4)


def test_an_answer_is_written_as_json_as_a_row_and_for_people() -> None:
    answer = answered((0.0, 2.0, -2.0), 0.4, 0.4, 0.1)
    assert answer.labels == ("b", "a", "c")
    assert answer.said(1) == {"labels": ["b", "a", "c"], "probabilities": answer.probabilities}
    assert answered((0.0, 2.0, -2.0)).said(1)["probabilities"] == pytest.approx({"b": 0.8808, "a": 0.5}, abs=1e-4)
    row = answer.row(2)
    assert list(row) == ["labels", "label_1", "probability_1", "label_2", "probability_2"]
    assert row["labels"] == "b;a;c"
    assert answer.cells(2) == {"1.": "b 88.1%", "2.": "a 50.0%", "labels": "b; a; c"}
    assert answered((-9.0, -9.0, -9.0)).cells(0) == {"labels": "(none)"}
    assert repr(answered((0.0, 2.0, -2.0))) == "<b 88.1%, a 50.0%>"


def test_an_answer_about_a_thousand_labels_is_small() -> None:
    known = LabelSpace(tuple(map(str, range(1000))))
    (answer,) = predict(torch.randn(1, 1000) - 5, known, PLAIN)
    assert len(pickle.dumps(answer)) - len(pickle.dumps(known.names)) < 6000
