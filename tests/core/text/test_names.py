"""Names as text."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, strategies as st

from ft.text.names import as_text, class_name, look_alikes

any_name = st.binary(min_size=1, max_size=12).map(os.fsdecode) | st.text(st.characters(), max_size=12)


@given(any_name)
def test_any_name_becomes_text_once_and_for_all(name: str) -> None:
    text = class_name(name)
    assert text.encode().decode() == text
    assert class_name(text) == text
    assert text == text.strip()
    assert as_text(as_text(name)) == as_text(name)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_text_stays_as_it_is(name: str) -> None:
    assert as_text(name) == name


@pytest.mark.parametrize(
    "names",
    [
        ["Cat", "cat"], ["hot dog", "hot_dog", "hot-dog", "Hot  Dog"], ["0", "0.0", "00"], ["10", "1e1"],
        ["\uff21", "a"], ["\ufb01sh", "fish"], ["St. Bernard", "st bernard"], ["STRASSE", "stra\u00dfe"],
        ["rock'n'roll", "rock\u2019n\u2019roll"],
    ],
)  # fmt: skip
def test_names_that_look_alike_are_found(names: list[str]) -> None:
    assert look_alikes([*names, "other"]) == [names]


@pytest.mark.parametrize("names", [["1", "-1"], ["1.0", "10"], ["c", "c++"], ["-", "_"], ["cat", "cats"]])
def test_names_that_do_not_are_not(names: list[str]) -> None:
    assert look_alikes(names) == []


@given(st.lists(any_name.map(class_name), unique=True))
def test_a_name_is_in_one_group_at_most(names: list[str]) -> None:
    grouped = [name for group in look_alikes(names) for name in group]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) <= set(names)
