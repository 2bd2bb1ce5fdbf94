from __future__ import annotations

import builtins
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from ft import FtError, Settings, WeightEntry
from ft.weights.cache import Cache
from ft_weights.fsspec import fetch, fetch_gs, fetch_s3


def saved(value: float) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.full((50,), value)}, buffer)
    return buffer.getvalue()


CONTENT = saved(1)
ENTRY = WeightEntry("V1", "net.pth", sha256=hashlib.sha256(CONTENT).hexdigest()[:8])


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


@pytest.fixture
def weight_cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "checkpoints", tmp_path / "records")


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_entrys_file_is_found_in_a_folder_and_kept(memory: Any, weight_cache: Cache, slash: str) -> None:
    memory.pipe("/models/net.pth", CONTENT)
    path = fetch(ENTRY, f"memory://models{slash}", Settings(), weight_cache)
    assert path == weight_cache.folder / "net.pth"
    assert path.read_bytes() == CONTENT
    weight_cache.offline = "FT_OFFLINE=1"
    assert fetch(ENTRY, "memory://models", Settings(), weight_cache) == path


def test_another_file_in_a_folder_is_refused(memory: Any, weight_cache: Cache) -> None:
    memory.pipe("/models/net.pth", saved(2))
    with pytest.raises(FtError, match=r"what came from memory://models/net.pth is damaged or not V1"):
        fetch(ENTRY, "memory://models", Settings(), weight_cache)
    assert list(weight_cache.folder.iterdir()) == []


def test_a_named_file_may_be_ones_own_and_is_fetched_again_when_it_changes(memory: Any, weight_cache: Cache) -> None:
    memory.pipe("/models/mine.pth", saved(2))
    first = fetch(ENTRY, "memory://models/mine.pth", Settings(), weight_cache)
    assert first.read_bytes() == saved(2)
    assert fetch(ENTRY, "memory://models/mine.pth", Settings(), weight_cache) == first
    memory.pipe("/models/mine.pth", saved(3))
    assert fetch(ENTRY, "memory://models/mine.pth", Settings(), weight_cache).read_bytes() == saved(3)


def test_what_is_not_there_is_an_error_that_names_it(memory: Any, weight_cache: Cache) -> None:
    for url in ("memory://models", "memory://models/net.pth"):
        with pytest.raises(FtError, match=r"there is no .*net\.pth"):
            fetch(ENTRY, url, Settings(), weight_cache)


def test_offline_nothing_is_fetched(memory: Any, weight_cache: Cache) -> None:
    memory.pipe("/models/net.pth", CONTENT)
    weight_cache.offline = "FT_OFFLINE=1"
    for url in ("memory://models", "memory://models/net.pth"):
        with pytest.raises(FtError, match="FT_OFFLINE=1, so nothing is fetched"):
            fetch(ENTRY, url, Settings(), weight_cache)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (None, "write the whole URL"),
        ("bucket/key", "write the whole URL"),
        ("file:///etc/passwd", "write local:PATH"),
        ("https://host/net.pth", "write mirror:BASE_URL"),
        ("nowhere://x/net.pth", "fsspec does not know nowhere://"),
    ],
)
def test_other_addresses_are_errors_that_say_what_to_write(weight_cache: Cache, url: str | None, hint: str) -> None:
    with pytest.raises(FtError, match=hint):
        fetch(ENTRY, url, Settings(), weight_cache)


@pytest.mark.parametrize("name", ["s3fs", "gcsfs", "fsspec"])
def test_a_missing_package_is_an_error_with_the_command(
    weight_cache: Cache, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = builtins.__import__

    def missing(module: str, *rest: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(f"no {module}")
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr("importlib.import_module", missing)
    use, extra = {"s3fs": (fetch_s3, "s3"), "gcsfs": (fetch_gs, "gs"), "fsspec": (fetch_s3, "fsspec")}[name]
    with pytest.raises(FtError, match=rf"pip install 'ftkit\[{extra}\]'"):
        use(ENTRY, "//bucket/net.pth", Settings(), weight_cache)


@pytest.mark.parametrize("argument", [None, "", "//", "./x", "a b/c"])
def test_a_missing_bucket_is_an_error(weight_cache: Cache, argument: str | None) -> None:
    with pytest.raises(FtError, match="as in s3:bucket/weights"):
        fetch_s3(ENTRY, argument, Settings(), weight_cache)
