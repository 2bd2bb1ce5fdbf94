from __future__ import annotations

import pytest

from ft.errors import FtError
from ft.text.redaction import check_whole, shown, what_is_left_out, without_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/a.pth", "https://host/a.pth"),
        ("mirror:https://me:p@w@host/a", "mirror:https://host/a"),
        ("s3://key:se/cr/et@bucket/a", "s3://bucket/a"),
        ("https://host:8080/a@v1", "https://host:8080/a@v1"),
        ("https://me:pw@host:8080/a@v1", "https://host:8080/a@v1"),
        ("https://host/a?sig=1&x=2, then", "https://host/a?..., then"),
        ("https://host/a?SignedHeaders=host;range&Signature=x", "https://host/a?..."),
        ("'https://host/a?token=x' failed", "'https://host/a?...' failed"),
        ("https://host/a?...", "https://host/a?..."),
        ("is it me@host?", "is it me@host?"),
        ("regex:layer[12]?.*", "regex:layer[12]?.*"),
    ],
)
def test_what_is_shown_of_a_url(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_every_text_in_a_tree_is_redacted_and_nothing_else_changes() -> None:
    tree = {"weights": {"use": "x", "sources": ("mirror:https://me:pw@host",)}, "n": [1, None, True, 0.5]}
    expected = {"weights": {"use": "x", "sources": ["mirror:https://host"]}, "n": [1, None, True, 0.5]}
    assert without_secrets(tree) == expected


def test_what_is_left_out_is_said_once_and_only_then() -> None:
    (note,) = what_is_left_out("mirror:https://me:pw@host")
    assert note.startswith("mirror:https://host: user, password and query are not written")
    assert what_is_left_out("mirror:https://host") == []


def test_a_reference_without_its_query_is_refused() -> None:
    check_whole("mirror:https://host/a?b=c")
    with pytest.raises(FtError, match="was not written"):
        check_whole("mirror:https://host/a?...")
