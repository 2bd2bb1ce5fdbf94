"""`ft cache`, on a store with three entries."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from ft.cache.rows import Shape
from ft.cache.store import FeatureStore

Ft = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    store = FeatureStore(10**9)
    for number, key in enumerate("abc"):
        about = {"promise": "exact", "backbone": "tiny", "prefix": key, "seconds": float(number)}
        with store.write(key * 32, [Shape((100,), "float32")], 5, about) as writer:
            writer.put(0, (torch.full((5, 100), float(number)),))
        os.utime(store.folder / f"{key * 32}.json", (1000 + number, 1000 + number))
    return store


def keys(store: FeatureStore) -> str:
    return "".join(entry.key[0] for entry in store.entries())


def test_list_shows_entries_the_one_used_longest_ago_first(ft: Ft, store: FeatureStore) -> None:
    lines = ft("cache", "list").output.splitlines()
    assert [line.split()[0] for line in lines if "tiny" in line] == ["a" * 12, "b" * 12, "c" * 12]
    assert lines[-1].startswith("3 entries, ")
    rows = json.loads(ft("cache", "list", "--json").output)
    assert [(row["key"][0], row["rows"], row["about"]["promise"]) for row in rows] == [
        ("a", 5, "exact"),
        ("b", 5, "exact"),
        ("c", 5, "exact"),
    ]


def test_list_has_one_line_for_entries_that_were_made_alike(ft: Ft, store: FeatureStore) -> None:
    for key in ("d", "e"):
        about = {"promise": "close", "backbone": "small", "seconds": float(ord(key))}
        with store.write(key * 32, [Shape((100,), "float32")], 7, about) as writer:
            writer.put(0, (torch.zeros(7, 100),))
    (line,) = [line for line in ft("cache", "list").output.splitlines() if "small" in line]
    assert line.split()[:5] == ["d" * 12, "small", "close", "14", "2"]
    assert len(json.loads(ft("cache", "list", "--json").output)) == 5


def test_verify_finds_what_is_not_what_was_written_and_prune_removes_only_that(ft: Ft, store: FeatureStore) -> None:
    assert ft("cache", "verify").output == "entries: 3 whole, 0 damaged\n"
    flipped, cut, _ = (entry.path for entry in store.entries())
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-7])
    result = ft("cache", "verify", fails=True)
    assert f"damaged: {flipped}\ndamaged: {cut}\nentries: 1 whole, 2 damaged" in result.output
    assert "ft cache prune --damaged" in str(result.exception)
    assert ft("cache", "prune", "--damaged").output == "removed 2 of 2 damaged\n"
    assert keys(store) == "c"
    assert ft("cache", "verify").output == "entries: 1 whole, 0 damaged\n"


def test_a_folder_that_cannot_be_looked_into_is_told(ft: Ft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "features").write_text("in the way")
    monkeypatch.setenv("FT_CACHE", str(tmp_path))
    for command in ("list", "verify", "prune"):
        message = str(ft("cache", command, fails=True).exception)
        assert message.startswith(f"cannot look into {tmp_path}/features: Not a directory; set FT_CACHE")


def test_prune_says_what_stays(ft: Ft, store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeatureStore, "remove", lambda *_: False)
    result = ft("cache", "prune", fails=True)
    assert result.output.startswith("removed 0 entries")
    assert str(result.exception).startswith("3 entries stay, ")


def test_prune_removes_what_was_used_longest_ago(ft: Ft, store: FeatureStore) -> None:
    size = store.entries()[0].size
    assert ft("cache", "prune", "--to", str(2.5 * size / 1e9)).output.startswith("removed 1 entry, ")
    assert keys(store) == "bc"
    ft("cache", "prune")
    assert keys(store) == ""
    for odd in ("nan", "inf", "1e300"):
        assert "--to is a number of GB" in str(ft("cache", "prune", "--to", odd, fails=True).exception)
    assert "two ways" in str(ft("cache", "prune", "--damaged", "--to", "1", fails=True).exception)
