"""Text from outside on its way to a terminal."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from ft.text.terminal import MOST, as_json, shortened, told, visible

ANYTHING = st.text(st.characters(codec=None, categories=None, exclude_categories=()), max_size=30)
BAD = [
    "\x1b[31m",
    "\x9b2J",
    "\x07",
    "\x7f",
    "\r",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\udcff",
    "\U000e0041",
]


def shows_only_itself(text: str) -> bool:
    return not any(
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(c) in BIDI for c in text
    )


BIDI = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


@given(ANYTHING)
def test_a_name_is_one_line_that_orders_a_terminal_nothing(name: str) -> None:
    assert shows_only_itself(visible(name))
    visible(name).encode()


@given(ANYTHING)
def test_a_message_keeps_its_lines_and_none_of_them_looks_like_another_message(text: str) -> None:
    first, *others = told(text).split("\n")
    assert all(line.startswith("  ") for line in others)
    assert all(map(shows_only_itself, (first, *others)))


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_what_is_invisible_becomes_an_escape(bad: str) -> None:
    seen = f"a{bad}b".encode("unicode_escape").decode()
    assert visible(f"a{bad}b") == seen
    assert told(f"a{bad}b") == seen


@pytest.mark.parametrize(
    "name", ["bottle [glass]", "a [/b]", ":cat:", "猫", "نمی‌خواهم", "👩‍🔬", "C:\\photos", "naïve → x"]
)
def test_what_can_be_read_stays_as_it_is(name: str) -> None:
    assert visible(name) == told(name) == name


def test_a_text_without_end_loses_its_middle_and_says_how_much() -> None:
    text = told(f"no model named '{'x' * 1_000_000}'. See ft models")
    assert len(text) < MOST + 50
    assert text.startswith("no model named 'xxx")
    assert text.endswith("xxx'. See ft models")
    assert "[... 996,032 characters ...]" in text
    assert shortened("short") == "short"


@pytest.mark.parametrize("text", ["a://" * 250_000, "a://b@" * 150_000, "a://b?" * 150_000, "a://b:c" * 140_000])
def test_a_long_text_full_of_addresses_takes_no_time(text: str) -> None:
    assert len(told(text)) < MOST + 50


@given(
    st.recursive(
        ANYTHING | st.floats() | st.none() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner),
    )
)
@settings(max_examples=30)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_valid_says_the_same_and_can_be_printed(encoding: str, tree: object) -> None:
    text = as_json(tree, encoding)
    text.encode(encoding)
    assert all(map(shows_only_itself, text.split("\n")))

    def refuse(number: str) -> object:
        raise AssertionError(number)

    assert json.dumps(json.loads(text, parse_constant=refuse), sort_keys=True) == json.dumps(
        json.loads(json.dumps(tree), parse_constant=lambda _: None), sort_keys=True
    )


def test_every_character_can_be_printed_where_only_ascii_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from ft.text.terminal import prepare_streams

    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    prepare_streams()
    print("4096 → 4, ≥ 3, é 猫 \U0001f600")
    import sys

    sys.stdout.flush()
    assert raw.getvalue() == b"4096 -> 4, >= 3, \\xe9 \\u732b \\U0001f600\n"
