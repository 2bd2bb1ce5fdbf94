from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ft.cache.named_rows import Shelf, nothing_found
from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import Writer
from ft.prefix.records import Tensors


def test_the_time_of_a_pass_is_that_of_batches_once_it_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, write = [0.0], Writer.put
    monkeypatch.setattr("ft.cache.named_rows.time.perf_counter", lambda: clock[0])

    def slowly(writer: Writer, row: int, tensors: Tensors) -> None:
        clock[0] += 60
        write(writer, row, tensors)

    monkeypatch.setattr(Writer, "put", slowly)

    def batches() -> Iterator[Tensors]:
        for seconds in (60.0, 2.0, 2.5, 2.0):  # processes start; then batches come
            clock[0] += seconds
            yield (torch.zeros(1, 3),)

    names = {number: bytes([number]) * 32 for number in range(4)}
    shelf = Shelf(FeatureStore(10**9, tmp_path), {"made": "so"})
    found = shelf.add(nothing_found(4), names, [Shape((3,), "float32")], batches(), {"seconds": 1.0})
    assert found.seconds == 1.0 + 4 * 2.0
    assert shelf.store.entries()[0].about["seconds"] == found.seconds
    assert found.rows.take([3, 0])[0].shape == (2, 3)


def test_rows_are_found_on_the_shelf_where_they_were_added_and_on_no_other(tmp_path: Path) -> None:
    store, names = FeatureStore(10**9, tmp_path), {number: bytes([number]) * 32 for number in range(3)}
    shelf, other = Shelf(store, {"made": "so", "batch_size": 4}), Shelf(store, {"made": "so", "batch_size": 8})
    values = torch.arange(3.0)[:, None]
    shelf.add(nothing_found(3), names, [Shape((1,), "float32")], iter([(values,)]))
    every = list(names.values())
    assert shelf.find([*every[::-1], b"x" * 32]).missing == [3]
    assert torch.equal(shelf.find(every[::-1]).rows.take([0, 1, 2])[0], values.flip(0))
    assert other.find(every).missing == [0, 1, 2]
    assert other.other_values("batch_size", every) == [4]
    other.clear()
    assert not shelf.find(every).missing
    shelf.clear()
    assert shelf.find(every).missing == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has other permissions")
@pytest.mark.parametrize("others", ["the folder", "json", "safetensors"])
def test_rows_that_others_could_have_written_are_not_found(others: str, tmp_path: Path) -> None:
    shelf, names = Shelf(FeatureStore(10**9, tmp_path), {"made": "so"}), {0: b"a" * 32}
    shelf.add(nothing_found(1), names, [Shape((1,), "float32")], iter([(torch.zeros(1, 1),)]))
    again = Shelf(FeatureStore(10**9, tmp_path), {"made": "so"})
    assert not again.find([b"a" * 32]).missing
    for path in [tmp_path] if others == "the folder" else tmp_path.glob(f"*.{others}"):
        path.chmod(0o777)
    assert again.find([b"a" * 32]).missing == [0]
