from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

import warm_python
from faults.interrupted_commands import wait_for
from ft.cache.named_rows import Shelf, nothing_found
from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept, Writer
from ft.machine.signals import StopAsked
from ft.prefix.records import Tensors


def test_the_time_of_a_pass_is_that_of_batches_once_it_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, write = [0.0], Writer.put
    monkeypatch.setattr("ft.cache.shards.time.perf_counter", lambda: clock[0])

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


def rows_of(values: Sequence[float]) -> Tensors:
    return (torch.tensor(values)[:, None].expand(-1, 3).contiguous(),)


def names_of(count: int) -> dict[int, bytes]:
    return {number: hashlib.sha256(bytes([number])).digest() for number in range(count)}


IN_SHARDS = {"shapes": [Shape((3,), "float32")]}
FOUR_ROWS = 4 * (3 * 4 + 32)
"""Bytes of four rows and their names."""


def small_shards(folder: Path) -> Shelf:
    return Shelf(FeatureStore(10**9, folder, shard_bytes=FOUR_ROWS), {"made": "so"})


def test_a_pass_lies_in_several_files_and_is_read_as_if_it_lay_in_one(tmp_path: Path) -> None:
    names, values = names_of(11), [float(number) for number in range(11)]
    batches = [values[start : start + 3] for start in range(0, 11, 3)]
    added = small_shards(tmp_path).add(nothing_found(11), names, **IN_SHARDS, batches=map(rows_of, batches))
    assert [entry.rows for entry in small_shards(tmp_path).store.entries()] == [4, 4, 3]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    for found in (added, small_shards(tmp_path).find(list(names.values()))):
        assert found.missing == []
        assert found.rows.take(order)[0][:, 0].tolist() == order.tolist()
        assert found.rows.in_memory().tensors[0][:, 2].tolist() == values
    small_shards(tmp_path).add(nothing_found(11), names, **IN_SHARDS, batches=map(rows_of, batches))
    assert len(small_shards(tmp_path).store.entries()) == 3, "who computes the same writes the same files"


@pytest.mark.parametrize("came", [0, 3, 4, 6, 11])
def test_what_came_before_a_pass_ended_is_kept_and_only_the_rest_is_missing(came: int, tmp_path: Path) -> None:
    names = names_of(11)

    def batches() -> Iterator[Tensors]:
        for number in range(came):
            yield rows_of([float(number)])
        raise StopAsked(15, None)

    with pytest.raises(StopAsked):
        small_shards(tmp_path).add(nothing_found(11), names, **IN_SHARDS, batches=batches())
    shelf = small_shards(tmp_path)
    found = shelf.find(list(names.values()))
    assert found.missing == list(range(came, 11))
    rest = {number: names[number] for number in found.missing}
    if rest:
        found = shelf.add(found, rest, **IN_SHARDS, batches=iter([rows_of([float(number) for number in rest])]))
    assert found.rows.take(range(11))[0][:, 0].tolist() == list(range(11))


def test_several_processes_that_compute_some_rows_each_make_one_set(tmp_path: Path) -> None:
    names = names_of(11)
    for rank in range(3):
        mine = {number: name for number, name in names.items() if number % 3 == rank}
        values = rows_of([float(number) for number in mine])
        small_shards(tmp_path).add(nothing_found(11), mine, **IN_SHARDS, batches=iter([values]))
    found = small_shards(tmp_path).find(list(names.values()))
    assert found.rows.take(range(11))[0][:, 0].tolist() == list(range(11))


def test_rows_of_one_name_are_found_for_each_number_that_has_it(tmp_path: Path) -> None:
    names = names_of(3)
    small_shards(tmp_path).add(nothing_found(3), names, **IN_SHARDS, batches=iter([rows_of([0.0, 1.0, 2.0])]))
    asked = [names[2], names[0], names[2], bytes(32), names[1]]
    found = small_shards(tmp_path).find(asked, wanted=[0, 2, 3, 4])
    assert found.missing == [1, 3]
    assert found.rows.take([0, 2, 4])[0][:, 0].tolist() == [2.0, 2.0, 1.0]


def test_a_disk_that_becomes_full_keeps_nothing_of_the_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, written = Writer.put, 0

    def until_full(writer: Writer, row: int, tensors: Tensors) -> None:
        nonlocal written
        written += len(tensors[0])
        if written > 6:
            raise NotKept("the disk is full")
        put(writer, row, tensors)

    monkeypatch.setattr(Writer, "put", until_full)
    shelf, names = small_shards(tmp_path), names_of(11)
    with pytest.raises(NotKept, match="full"):
        shelf.add(nothing_found(11), names, **IN_SHARDS, batches=(rows_of([float(n)]) for n in range(11)))
    assert list(tmp_path.iterdir()) == []


def test_a_pass_without_room_for_all_of_it_computes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(FeatureStore(3 * FOUR_ROWS, tmp_path, shard_bytes=FOUR_ROWS), {"made": "so"})

    def batches() -> Iterator[Tensors]:
        raise AssertionError("nothing may be computed")
        yield

    with pytest.raises(NotKept, match=r"more than cache\.disk_gb allows"):
        shelf.add(nothing_found(99), names_of(99), **IN_SHARDS, batches=batches())


KILLED = """
import hashlib, sys, time, torch
from pathlib import Path
import warm_python
from faults.interrupted_commands import wait_for
from ft.cache.named_rows import Shelf, nothing_found
from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
def batches():
    for number in range(11):
        if number == 10:
            Path("far").touch()
            time.sleep(60)
        yield (torch.full((1, 3), float(number)),)
names = {number: hashlib.sha256(bytes([number])).digest() for number in range(11)}
shelf = Shelf(FeatureStore(10**9, Path(sys.argv[1]), shard_bytes=int(sys.argv[2])), {"made": "so"})
shelf.add(nothing_found(11), names, [Shape((3,), "float32")], batches())
"""


def test_a_pass_that_is_killed_loses_no_more_than_the_file_that_it_was_writing(tmp_path: Path) -> None:
    process = warm_python.start(KILLED, [str(tmp_path / "kept"), str(FOUR_ROWS)], tmp_path)
    wait_for((tmp_path / "far").exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = small_shards(tmp_path / "kept").find(list(names_of(11).values()))
    assert found.missing == [8, 9, 10]
    assert found.rows.take(range(8))[0][:, 1].tolist() == list(range(8))


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
