from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.mirror import fetch
from weight_server import Answer, WeightServer


def saved(value: float) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((50,), value)}, buffer)
    return buffer.getvalue()


CONTENT = saved(1)
ENTRY = WeightEntry(
    "V1", "net 1.pth", url="https://publisher.example/models/a/net.pth", sha256=hashlib.sha256(CONTENT).hexdigest()[:8]
)


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records", pauses=())


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_the_file_name_below_the_base_is_fetched(web: WeightServer, weight_cache: Cache, slashes: str) -> None:
    web.put("/models/net 1.pth", CONTENT)
    path = fetch(ENTRY, f"{web.url}/models{slashes}", Settings(), weight_cache)
    assert path.read_bytes() == CONTENT
    assert web.asked == ["/models/net%201.pth"]


def test_else_the_publishers_path_below_the_base_is_fetched(web: WeightServer, weight_cache: Cache) -> None:
    web.put("/models/a/net.pth", CONTENT)
    assert fetch(ENTRY, web.url, Settings(), weight_cache).read_bytes() == CONTENT
    assert web.asked == ["/net%201.pth", "/models/a/net.pth"]


def test_a_mirror_that_has_neither_is_an_error_that_names_both(web: WeightServer, weight_cache: Cache) -> None:
    with pytest.raises(FtError, match=r"/net%201.pth: HTTP 404 Not Found; .*/models/a/net.pth: HTTP 404"):
        fetch(ENTRY, web.url, Settings(), weight_cache)


def test_the_published_digest_is_checked(web: WeightServer, weight_cache: Cache) -> None:
    web.put("/net 1.pth", saved(2))
    with pytest.raises(FtError, match="damaged or not V1: sha256"):
        fetch(ENTRY, web.url, Settings(), weight_cache)


def test_without_a_published_digest_it_is_said_that_nothing_was_verified(
    web: WeightServer, weight_cache: Cache
) -> None:
    web.put("/net.pth", Answer(CONTENT))
    fetch(WeightEntry("V1", "net.pth"), web.url, Settings(), weight_cache)
    assert "cannot be verified" in weight_cache.notes[0]


@pytest.mark.parametrize(
    "base",
    [
        None,
        "",
        "mirror.example/models",
        "file:///models",
        "ftp://x",
        "https://",
        "https:",
        "https://[a",
        "https://a/m?b=c",
    ],
)
def test_a_base_that_is_no_web_address_is_an_error(weight_cache: Cache, base: str | None) -> None:
    with pytest.raises(FtError, match="is no mirror; write its address in full"):
        fetch(ENTRY, base, Settings(), weight_cache)
