from __future__ import annotations

from pathlib import Path

import pytest

from ft import FtError, Settings, WeightEntry
from ft_weights.official import fetch


class Downloads:
    """A cache that says which URLs it was told to try."""

    def find(self, entry: WeightEntry) -> Path | None:
        raise AssertionError

    def download(self, entry: WeightEntry, *urls: str) -> Path:
        return Path(*urls)

    def verify(self, entry: WeightEntry, path: Path) -> Path:
        raise AssertionError


def test_the_entrys_url_is_fetched() -> None:
    entry = WeightEntry("V1", "net.pth", url="https://publisher.example/net.pth")
    assert fetch(entry, None, Settings(), Downloads()) == Path("https://publisher.example/net.pth")


def test_an_entry_without_a_url_is_an_error() -> None:
    with pytest.raises(FtError, match="no URL is published for V1"):
        fetch(WeightEntry("V1", "net.pth"), None, Settings(), Downloads())


def test_an_argument_is_an_error() -> None:
    with pytest.raises(FtError, match=r"write mirror:https://m.example"):
        fetch(WeightEntry("V1", "net.pth", url="https://x"), "https://m.example", Settings(), Downloads())
