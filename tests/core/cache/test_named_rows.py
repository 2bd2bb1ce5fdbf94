from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ft.cache.named_rows import add_rows
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

    names = [bytes([number]) * 32 for number in range(4)]
    store = FeatureStore(10**9, tmp_path)
    rows, seconds = add_rows(store, {"made": "so"}, [Shape((3,), "float32")], names, batches(), {"seconds": 1.0})
    assert seconds == 1.0 + 4 * 2.0
    assert store.entries()[0].about["seconds"] == seconds
    assert rows.tensors[0].shape == (4, 3)
