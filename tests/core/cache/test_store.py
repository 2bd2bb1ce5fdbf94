"""What is kept on disk is whole, bounded, and never taken for something else."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import warm_python
from faults.interrupted_commands import wait_for
from ft.cache.rows import Shape
from ft.cache.store import FeatureStore
from ft.cache.writer import NotKept, Writer
from ft.errors import FtError
from ft.machine.files import CannotWrite
from ft.prefix.cut import KEEPABLE
from ft.prefix.records import DTYPES
from memory_maps import mapped_file_at, needs_maps

ROWS = 6
SHAPES = [Shape((4,), "float32"), Shape((2, 3), "bfloat16")]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(10**6, tmp_path / "features")


def rows(seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, 4, generator=generator), torch.randn(ROWS, 2, 3, generator=generator).bfloat16()


def put(store: FeatureStore, key: str, seed: int = 0, used: float | None = None) -> Writer:
    tensors = rows(seed)
    with store.write(key, SHAPES, ROWS, {"promise": "exact"}) as writer:
        for start in (4, 0):  # in any sequence
            writer.put(start, tuple(tensor[start : start + 4] for tensor in tensors))
    if used is not None:
        os.utime(store.folder / f"{key}.json", (used, used))
    return writer


@pytest.mark.parametrize("in_memory", [True, False], ids=["copied", "mapped"])
def test_rows_come_back_as_they_were(store: FeatureStore, in_memory: bool) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    found = store.read(entry, in_memory)
    assert found is not None
    assert all(torch.equal(one, other) for one, other in zip(found.tensors, rows(0), strict=True))


@needs_maps
@pytest.mark.parametrize("in_memory", [True, False], ids=["copied", "mapped"])
def test_features_are_in_memory_or_in_the_file_as_was_asked(store: FeatureStore, in_memory: bool) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    found = store.read(entry, in_memory)
    assert found is not None
    assert {mapped_file_at(tensor.data_ptr()) for tensor in found.tensors} == {"" if in_memory else str(entry.path)}


def test_a_cut_has_no_type_that_is_not_kept() -> None:
    assert {str(dtype).removeprefix("torch.") for dtype in KEEPABLE} == DTYPES.keys()


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "int32", "uint8", "bool"])
def test_every_type_that_a_cut_may_have_is_kept(store: FeatureStore, dtype: str) -> None:
    tensor = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(getattr(torch, dtype))
    with store.write("a", [Shape((2,), dtype)], 3, {}) as writer:
        writer.put(0, (tensor,))
    (found,) = writer.written.tensors
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
    assert FeatureStore(10**6, store.folder).read(entry, in_memory) is None
    assert store.find("a") is None


def test_an_entry_that_another_process_removes_meanwhile_is_not_there(store: FeatureStore) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    store.remove(entry.path)
    assert store.read(entry, in_memory=True) is None


def test_what_a_run_wrote_it_has_even_when_another_process_removes_it_at_once(store: FeatureStore) -> None:
    writer = put(store, "a")
    store.prune(0)
    assert not list(store.folder.iterdir())
    assert all(torch.equal(one, other) for one, other in zip(writer.written.tensors, rows(0), strict=True))


def test_what_a_killed_writer_left_is_no_entry_and_goes(store: FeatureStore) -> None:
    put(store, "a")
    entry = store.find("a")
    assert entry is not None
    (store.folder / "a.json").unlink()  # killed after the file, before its note
    assert store.find("a") is None
    assert store.entries() == []
    left = store.folder / ".b.safetensors.000000-1-000000-000000.tmp"  # killed while it wrote, long ago
    left.write_bytes(b"half")
    store.prune(10**6)
    assert len(list(store.folder.iterdir())) == 2  # their writers may be at work
    for path in (entry.path, left):
        os.utime(path, (1, 1))
    store.prune(10**6)
    assert not list(store.folder.iterdir())


def test_what_cannot_be_read_is_damaged_and_what_is_removed_meanwhile_is_not(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a")
    put(store, "b")

    def unreadable(path: Path) -> str:
        if path.stem == "b":
            store.remove(path)  # another process makes room
        raise FtError(f"cannot read {path}: Input/output error")

    monkeypatch.setattr("ft.cache.store.sha256_of", unreadable)
    assert store.damaged() == [store.path("a")]


def test_a_file_that_was_cut_short_goes_too(store: FeatureStore) -> None:
    put(store, "a")
    os.truncate(store.path("a"), 100)
    for path in store.folder.iterdir():
        os.utime(path, (1, 1))
    store.prune(10**6)
    assert not list(store.folder.iterdir())


def test_what_somebody_wrote_anew_is_not_removed_for_what_it_was(store: FeatureStore) -> None:
    put(store, "a")
    entry = store.find("a")
    put(store, "a", seed=1)
    assert entry is not None
    assert store.read(entry, in_memory=True) is None
    assert store.find("a") is not None


@pytest.mark.parametrize(
    ("number", "said"), [(errno.EDQUOT, "the disk is full: "), (errno.EIO, r"cannot write .*a\.safetensors.*: bad")]
)
def test_a_disk_that_refuses_while_it_is_written_to_keeps_nothing(
    number: int, said: str, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: torch.Tensor) -> bytes:
        raise OSError(number, "bad")

    monkeypatch.setattr("ft.cache.writer.tensor_bytes", refuse)  # as if the write that takes them did
    with pytest.raises(NotKept, match=said):
        put(store, "a")
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize("what", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOENT])
def test_a_disk_that_refuses_at_the_end_keeps_nothing(
    what: str, number: int, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "bad")

    monkeypatch.setattr(what, refuse)
    with pytest.raises(NotKept, match=r"cannot write .*a\.safetensors: bad"):
        put(store, "a")
    assert not list(store.folder.iterdir())


def test_a_note_that_cannot_be_written_leaves_no_half_of_an_entry(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: object) -> None:
        raise CannotWrite(f"cannot write {path}")

    monkeypatch.setattr("ft.cache.store.publish_json", refuse)
    with pytest.raises(NotKept, match=r"cannot write .*a\.json"):
        put(store, "a")
    assert not list(store.folder.iterdir())


def test_a_disk_that_does_not_answer_holds_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a")

    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    for name in ("listdir", "scandir", "stat", "access"):
        monkeypatch.setattr(os, name, gone)
    monkeypatch.setattr(Path, "open", gone)
    monkeypatch.setattr(Path, "read_text", gone)
    assert (store.find("a"), store.entries(), store.damaged(), store.prune(0)) == (None, [], [], [])


@pytest.mark.parametrize(
    "changes", [{"rows": 5}, {"rows": 7}, {"shapes": [{"shape": [4], "dtype": "float8"}]}], ids=str
)
def test_a_note_that_does_not_fit_its_file_is_no_entry(store: FeatureStore, changes: dict[str, object]) -> None:
    put(store, "a")
    note = store.folder / "a.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | changes))
    assert store.find("a") is None
    assert store.damaged() == [store.path("a")]


def test_what_a_run_wrote_or_read_it_does_not_read_again_for_its_digest(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a")
    later, entry = FeatureStore(10**6, store.folder), store.find("a")
    assert entry is not None
    assert later.read(entry, in_memory=False) is not None
    monkeypatch.setattr("ft.cache.store.open_plain", lambda path: pytest.fail(f"{path} is read again"))
    for each in (store, later):
        found = each.read(entry, in_memory=False)
        assert found is not None
        assert torch.equal(found.tensors[0], rows(0)[0])
        each.remove(entry.path)
        assert each.find("a") is None


@pytest.mark.parametrize("kept", [0, 1, 4, ROWS])
def test_fewer_rows_than_were_thought_of_make_a_whole_entry(store: FeatureStore, kept: int) -> None:
    tensors = rows(0)
    with store.write("a", SHAPES, ROWS, {}) as writer:
        writer.put(0, tuple(tensor[:kept] for tensor in tensors))
        writer.cut(kept)
    entry = store.find("a")
    assert entry is not None
    assert (entry.rows, store.damaged()) == (kept, [])
    found = FeatureStore(10**6, store.folder).read(entry, in_memory=True)
    assert found is not None
    assert all(torch.equal(got, tensor[:kept]) for got, tensor in zip(found.tensors, tensors, strict=True))
    assert load_file(entry.path)["feature0"].shape == (kept, *SHAPES[0].shape)


def test_decoded_images_go_first_and_count_for_no_room_for_such(store: FeatureStore) -> None:
    size = 0
    for age, (key, promise) in enumerate([("a", "exact"), ("b", "decoded images"), ("c", "decoded images")]):
        with store.write(key, SHAPES, ROWS, {"promise": promise}) as writer:
            writer.put(0, rows(0))
        os.utime(store.folder / f"{key}.json", (1000 + age, 1000 + age))
        size = store.path(key).stat().st_size
    tight = FeatureStore(3 * size, store.folder)
    assert tight.has_room_for_images(2 * size)
    assert not tight.has_room_for_images(2 * size + 1)
    assert [entry.key for entry in tight.prune(size)] == ["b", "c"]


def test_what_is_larger_than_the_store_makes_nothing_go(store: FeatureStore) -> None:
    put(store, "a")
    small = FeatureStore(100, store.folder)
    with (
        pytest.raises(NotKept, match=r"are more than cache\.disk_gb allows, 0\.0 MB"),
        small.write("b", SHAPES, ROWS, {}),
    ):
        raise AssertionError("nothing may be computed")
    assert store.find("a") is not None


HALF = """
import sys, time, torch
from pathlib import Path
from ft.cache.store import FeatureStore
from ft.cache.rows import Shape
with FeatureStore(10**6, Path(sys.argv[1])).write("a", [Shape((4,), "float32")], 6, {}) as writer:
    writer.put(0, (torch.zeros(3, 4),))
    Path("half").touch()
    time.sleep(60)
"""


def test_a_writer_that_is_killed_leaves_nothing_that_is_taken_for_whole(store: FeatureStore) -> None:
    writer = warm_python.start(HALF, [str(store.folder)], store.folder.parent)
    wait_for((store.folder.parent / "half").exists, writer)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    (left,) = store.folder.iterdir()
    put(store, "c")
    whole = store.entries()[0].size
    assert store.prune(whole) == []  # what a dead one wrote takes nobody's place
    assert store.prune(0)
    assert store.find("a") is None
    assert store.entries() == store.damaged() == []
    os.utime(left, (1, 1))
    put(store, "b")  # whoever writes an hour later cleans up
    assert {path.stem for path in store.folder.iterdir()} == {"b"}


MANY = """
import sys, torch
from pathlib import Path
from ft.cache.store import FeatureStore
from ft.cache.rows import Shape
limit, folder, worker = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
store, found = FeatureStore(limit, folder), 0
for number in range(60):
    value = (number + worker) % 4
    with store.write(f"key{value}", [Shape((50,), "float32")], 20, {}) as writer:
        for row in range(0, 20, 5):
            writer.put(row, (torch.full((5, 50), float(value)),))
    for other in range(4):
        entry = store.find(f"key{other}")
        found_rows = store.read(entry, in_memory=number % 2 == 0) if entry is not None else None
        if found_rows is not None:
            assert (found_rows.tensors[0] == other).all(), f"key{other} holds something else"
            found += 1
print(found)
"""


def test_several_processes_write_read_and_make_room_at_once(store: FeatureStore) -> None:
    limit = 3 * (20 * 50 * 4 + 200)  # of four keys three fit
    arguments = [str(limit), str(store.folder)]
    processes = [warm_python.start(MANY, [*arguments, str(worker)], store.folder.parent) for worker in range(3)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    found = [int(out) for out, _ in said]
    assert min(found) > 60  # what others wrote, too, is read
    assert store.damaged() == []
    assert not [path for path in store.folder.iterdir() if path.name.startswith(".")]


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
    monkeypatch.setattr("ft.cache.store.shutil.disk_usage", lambda _: usage(10 * size, 0, size // 2))
    assert [entry.key for entry in store.prune(10**6, room=size)] == ["a"]


def test_a_cache_that_can_only_be_read_is_read(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("ft.cache.store.os.utime", refuse)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: refuse())
    entry = store.find("a")
    assert entry is not None
    assert store.read(entry, in_memory=True) is not None
    assert store.prune(0) == []
    assert not store.remove(entry.path)


def test_no_room_is_said_before_anything_is_computed(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("ft.cache.store.shutil.disk_usage", lambda _: usage(10**6, 10**6, 10))
    monkeypatch.setattr(FeatureStore, "remove", lambda *_: False)  # someone else's
    with pytest.raises(NotKept, match=r"the disk is full.*needs 0\.0 MB"), store.write("b", SHAPES, ROWS, {}):
        raise AssertionError("nothing may be computed")


def test_obstacles_are_said_beforehand(store: FeatureStore, tmp_path: Path) -> None:
    assert store.obstacle(1000) == ""
    assert " are free on the disk of" in store.obstacle(shutil.disk_usage(tmp_path).total * 2)
    (tmp_path / "file").write_text("")
    nowhere = FeatureStore(10**6, tmp_path / "file" / "features")
    assert nowhere.obstacle(1000) == f"{tmp_path / 'file'} is no folder that can be written to; set FT_CACHE to one"
