"""A time is written as people write it, and a number alone is none."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from ft.text.durations import LONGEST, as_duration, parse_duration


@given(st.integers(1, 3599))
def test_what_is_said_of_less_than_an_hour_is_read_back_to_the_second(seconds: int) -> None:
    assert parse_duration(as_duration(seconds)) == seconds


@given(st.integers(3600, int(LONGEST)))
def test_what_is_said_of_more_is_read_back_to_the_minute(seconds: int) -> None:
    assert abs(parse_duration(as_duration(seconds)) - seconds) <= 30


@given(
    st.integers(0, 9), st.integers(0, 99), st.integers(0, 99), st.sampled_from(["", " "]), st.sampled_from(["m", "min"])
)
def test_parts_add_up(hours: int, minutes: int, seconds: int, space: str, unit: str) -> None:
    parts = [f"{hours}h" * bool(hours), f"{minutes}{unit}" * bool(minutes), f"{seconds}s" * bool(seconds)]
    text = space.join(filter(None, parts))
    if text:
        assert parse_duration(text) == 3600 * hours + 60 * minutes + seconds


@given(st.text(max_size=8))
def test_any_text_is_a_time_or_a_mistake_that_is_said(text: str) -> None:
    try:
        assert 1 <= parse_duration(text) <= LONGEST
    except ValueError as error:
        assert "Write " in str(error) or "as 90s, 10m or 1h30m" in str(error) or "from 1s" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("600", "600 of what. Write 600s, 600m or 600h"),
        ("1.5", "1.5 of what"),
        ("", "as 90s, 10m or 1h30m"),
        ("10 parsecs", "as 90s"),
        ("30s10m", "as 90s"),
        ("-5m", "as 90s"),
        ("0s", "from 1s to 1000h"),
        ("2000h", "from 1s to 1000h"),
        ("٣m", "as 90s"),
    ],
)
def test_what_is_no_time_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_duration(text)
