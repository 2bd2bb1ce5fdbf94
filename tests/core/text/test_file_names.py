"""Names of classes as names of folders."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ft.text.file_names import folder_names


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cat", "cat"),
        ("猫 with a hat", "猫 with a hat"),
        ("-5", "-5"),
        ("a/b", "a_b"),
        ("..", "__"),
        (".hidden", "_hidden"),
        ("end.", "end_"),
        ("", "_"),
        ("nul.txt", "_nul.txt"),
        ("<img src=x onerror=alert(1)>", "_img src=x onerror=alert(1)_"),
        ("a\x1b[31m\nb", "a_[31m_b"),
        ("é" * 200, "é" * 60),
    ],
)
def test_a_name_is_the_folders_as_far_as_it_may_be(name: str, folder: str) -> None:
    assert folder_names([name]) == {name: folder}


def test_who_may_be_called_as_it_is_keeps_its_name() -> None:
    assert folder_names(["a:b", "a/b", "a_b", "A_B"]) == {"a_b": "a_b", "A_B": "A_B-2", "a:b": "a_b-3", "a/b": "a_b-4"}


@given(st.sets(st.text(max_size=200), max_size=8))
def test_no_two_are_one_folder_and_none_leads_out_of_where_it_is(names: set[str]) -> None:
    made = folder_names(names)
    assert made.keys() == names
    assert len({unicodedata.normalize("NFC", each).casefold() for each in made.values()}) == len(names)
    for each in made.values():
        assert Path("x", each).parent == Path("x")
        assert each not in (".", "..")
        assert len(os.fsencode(each)) < 200
