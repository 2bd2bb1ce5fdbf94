from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from faults.repetitions import times
from ft.text.documents import DEEPEST, as_yaml, parse_json, parse_yaml

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
# Each line repeats the one before nine times; the last stands for nine to the power of their number.
LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))])
MERGES = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 12))]
)
CHAIN = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [[[[*a{i - 1}]]]]" for i in range(1, 12))])


@settings(max_examples=times(40, 10))
@given(tree=st.dictionaries(st.text(max_size=8), PLAIN, max_size=4))
def test_what_is_written_is_read_as_the_same(tree: dict[str, Any]) -> None:
    assert parse_yaml(as_yaml(tree)) == tree
    assert parse_json(json.dumps(tree)) == parse_yaml(json.dumps(tree)) == tree


def test_anchors_serve_within_the_bounds() -> None:
    text = "base: &base {lr: 1e-3, on: off}\nmore: {<<: *base, day: 2026-01-31}\nsame: *base\n"
    base = {"lr": 1e-3, "on": "off"}
    assert parse_yaml(text) == {"base": base, "more": {**base, "day": "2026-01-31"}, "same": base}


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        '{"a":' * 20_000,
        "[" * 20_000 + "]" * 20_000,
        "{" * 20_000,
        "- " * 20_000,
        "9" * 5000,
        "{" + LAUGHS,
    ],
    ids=["open lists", "open mappings", "lists", "braces", "dashes", "a number", "half"],
)
def test_what_is_too_deep_or_broken_is_an_error_in_one_line(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "stands for more than 20,000 values"),
        (MERGES, "stands for more than 20,000 values"),
        (CHAIN, f"more than {DEEPEST} levels"),
        ("a: &a [*a]", "holds itself"),
        ("a: &a {b: *a}", "holds itself"),
        ("&a [b, {c: *a}]", "holds itself"),
        ("- x\n" * 100_000, "stands for more than 20,000 values"),
        ("x" * 2_000_000, "longer than 1,000,000 characters"),
        ("".join(f"k{i}: 1\n" for i in range(30_000)), "stands for more than 20,000 values"),
        ("1" + ":1" * 10_000, "a number of 20,001 characters is too long"),
        ("0x" + "f" * 10_000, "a number of 10,002 characters"),
        ("a: 1\na: 2", "'a' is given twice"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
    ],
)
def test_a_text_that_stands_for_more_than_it_says_is_refused_at_once(text: str, said: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=said):
        parse_yaml(text)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "tag", ["int", "float", "bool", "null", "str", "seq", "map", "binary", "set", "timestamp", "x"]
)
@pytest.mark.parametrize("value", ["''", "x", "[1]", "{a: b}", "2026-01-31", "~"])
def test_a_tag_gives_what_json_could_hold_or_an_error(tag: str, value: str) -> None:
    with suppress(ValueError):
        json.dumps(parse_yaml(f"a: !!{tag} {value}"))


@pytest.mark.parametrize("text", ["!!python/name:os.system", "!!python/object/apply:os.system [true]", "!local x"])
def test_no_tag_names_code(text: str) -> None:
    with pytest.raises(ValueError, match="could not determine a constructor"):
        parse_yaml(text)
