"""What is kept on disk is whole, bounded, and never taken for something else."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from ft.errors import FtError
from ft.feature_store import _DTYPES, FeatureStore, Shape
from ft.prefix.cut import KEEPABLE

ROWS = 6
SHAPES = [Shape((4,), "float32"), Shape((2, 3), "bfloat16")]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(10**6, tmp_path / "features")


def rows(seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, 4, generator=generator), torch.randn(ROWS, 2, 3, generator=generator).bfloat16()


def put(store: FeatureStore, key: str, seed: int = 0, used: float | None = None) -> None:
    tensors = rows(seed)
    with store.write(key, SHAPES, ROWS, {"promise": "exact"}) as writer:
        for start in (4, 0):  # in any sequence
            writer.put(start, tuple(tensor[start : start + 4] for tensor in tensors))
    if used is not None:
        os.utime(store.folder / f"{key}.json", (used, used))


@pytest.mark.parametrize("in_memory", [True, False], ids=["copied", "mapped"])
def test_rows_come_back_as_they_were(store: FeatureStore, in_memory: bool) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    found = store.read(entry, in_memory)
    assert found is not None
    assert all(torch.equal(one, other) for one, other in zip(found, rows(0), strict=True))


def test_a_cut_has_no_type_that_is_not_kept() -> None:
    assert {str(dtype).removeprefix("torch.") for dtype in KEEPABLE} == _DTYPES.keys()


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "int32", "uint8", "bool"])
def test_every_type_that_a_cut_may_have_is_kept(store: FeatureStore, dtype: str) -> None:
    tensor = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(getattr(torch, dtype))
    with store.write("a", [Shape((2,), dtype)], 3, {}) as writer:
        writer.put(0, (tensor,))
    _, (found,) = store.read_written("a", in_memory=True)
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)


@pytest.mark.parametrize(
    "wrong",
    [(torch.zeros(2, 4).double(), torch.zeros(2, 2, 3).bfloat16()), (torch.zeros(2, 4), torch.zeros(2, 3).bfloat16())],
    ids=["type", "shape"],
)
def test_rows_of_another_form_are_not_written(store: FeatureStore, wrong: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(AssertionError), store.write("a", SHAPES, ROWS, {}) as writer:
        writer.put(0, wrong)
    assert store.find("a") is None
    assert not list(store.folder.iterdir())


def test_rows_past_the_end_are_not_written(store: FeatureStore) -> None:
    with pytest.raises(AssertionError, match="there are 6 rows"), store.write("a", SHAPES, ROWS, {}) as writer:
        writer.put(1, rows(0))


@pytest.mark.parametrize("in_memory", [True, False], ids=["copied", "mapped"])
def test_a_flipped_bit_is_noticed_and_the_entry_removed(store: FeatureStore, in_memory: bool) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    content = bytearray(entry.path.read_bytes())
    content[-5] ^= 1
    entry.path.write_bytes(content)
    assert store.read(entry, in_memory) is None
    assert store.find("a") is None


def test_an_entry_that_another_process_removes_meanwhile_is_not_there(store: FeatureStore) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    store.remove(entry.path)
    assert store.read(entry, in_memory=True) is None
    with pytest.raises(FtError, match=r"another process removed .* cache.disk_gb"):
        store.read_written("a", in_memory=True)


def test_what_a_killed_writer_left_is_no_entry_and_goes(store: FeatureStore) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    (store.folder / "a.json").unlink()  # killed after the file, before its note
    assert store.find("a") is None
    assert store.entries() == []
    left = store.folder / ".b.safetensors.000000-1-000000-000000.tmp"  # killed while it wrote, long ago
    left.write_bytes(b"half")
    for path in (entry.path, left):
        os.utime(path, (1, 1))
    store.prune(10**6)
    assert not list(store.folder.iterdir())


def test_what_was_used_longest_ago_makes_room(store: FeatureStore) -> None:
    for number, key in enumerate("abc"):
        put(store, key, number, used=1000 + number)
    size = store.entries()[0].size
    assert store.find("a") is not None  # now it is the one used last
    tight = FeatureStore(3 * size, store.folder)
    put(tight, "d")
    assert {entry.key for entry in store.entries()} == {"a", "c", "d"}


def test_a_disk_that_is_full_makes_old_entries_go(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", used=1000)
    put(store, "b", used=2000)
    size = store.entries()[0].size
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("ft.feature_store.shutil.disk_usage", lambda _: usage(10 * size, 0, size // 2))
    assert [entry.key for entry in store.prune(10**6, room=size)] == ["a"]


def test_obstacles_are_said_beforehand(store: FeatureStore, tmp_path: Path) -> None:
    assert store.obstacle(1000) == ""
    assert "GB are free on the disk of" in store.obstacle(shutil.disk_usage(tmp_path).total * 2)
    (tmp_path / "file").write_text("")
    nowhere = FeatureStore(10**6, tmp_path / "file" / "features")
    assert nowhere.obstacle(1000) == f"{tmp_path / 'file'} is no folder that can be written to; set FT_CACHE to one"
