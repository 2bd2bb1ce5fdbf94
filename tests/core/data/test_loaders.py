"""The order of images and the processes that read them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image

from augmentations import augmentation
from ft import FtError, Preprocessing
from ft.data.batches import Batch
from ft.data.dataset import ImageDataset
from ft.data.load import Item
from ft.data.loaders import Loader, Workers, auto_workers, make_loader
from ft.data.order import check_shared, epoch_batches, own_batches, places_of
from ft.data.pictures import Picture
from ft.data.transforms import train_transform
from ft.machine.distributed import Share
from ft.machine.signals import StopAsked

many = st.integers(1, 200)
worlds = st.integers(1, 5)


@given(many, st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(0, 50), st.booleans(), worlds)
def test_all_processes_together_take_the_steps_that_one_takes(
    n: int, batch_size: int, seed: int, epoch: int, shuffle: bool, world: int
) -> None:
    alone = epoch_batches(n, batch_size, seed, epoch, shuffle)
    assert sorted(index for batch in alone for index in batch) == list(range(n))
    ranks = [own_batches(n, batch_size, seed, epoch, shuffle, Share(rank, world)) for rank in range(world)]
    for step, batch in enumerate(alone):
        shares = [own[step] for own in ranks]
        if places_of(len(batch), Share(0, world)).each_computes_all:
            assert shares == [batch] * world
        else:
            assert sorted(index for share in shares for index in share) == sorted(batch)


@given(st.integers(1, 100), worlds)
def test_images_that_may_be_blended_stay_in_one_process_in_opposite_places(size: int, world: int) -> None:
    every = [places_of(size, Share(rank, world)) for rank in range(world)]
    assert {places.fewest for places in every} == {min(len(places.own) for places in every)}
    for own in (places.own for places in every):
        assert [size - 1 - place for place in own] == list(reversed(own))
        assert len(own) >= min(2, size) or size % 2  # the middle one of an odd batch may be alone


def test_batches_of_one_are_left_where_they_are_wanted() -> None:
    assert epoch_batches(3, 1, 0, 0, shuffle=False) == [[0], [1], [2]]
    assert epoch_batches(1, 8, 0, 0, shuffle=True) == [[0]]
    assert epoch_batches(9, 4, 0, 0, shuffle=False) == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    assert epoch_batches(0, 4, 0, 0, shuffle=True) == []


def test_the_order_is_a_function_of_seed_and_epoch_and_is_that_of_this_version_for_good() -> None:
    orders = {(seed, epoch): str(epoch_batches(50, 8, seed, epoch, True)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(set(orders.values())) == 4
    assert epoch_batches(10, 10, 0, 0, shuffle=True) == [PINNED]


PINNED = [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]


def test_a_batch_too_small_for_the_processes_is_an_error() -> None:
    check_shared(8, Share(0, 4))
    with pytest.raises(FtError, match="a batch of 7 cannot be shared by 4 processes; use --batch-size 8"):
        check_shared(7, Share(0, 4))


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    for number in range(11):
        Image.effect_noise((30, 24), 90).save(tmp_path / f"{number}.png")
    return [Item(Picture.at(tmp_path / f"{number}.png"), number % 3) for number in range(11)]


@contextmanager
def loading(items: list[Item], workers: int, batch_size: int = 4, shuffle: bool = True) -> Iterator[Loader]:
    dataset = ImageDataset(items, train_transform(Preprocessing(16, 18), augmentation("strong")), seed=3)
    loader = make_loader(dataset, batch_size, Workers(workers, "cpu"), shuffle)
    try:
        yield loader
    finally:
        loader.close()


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for ours, theirs in zip(a, b, strict=True) for x, y in zip(ours, theirs, strict=True)
    )


def test_batches_are_the_same_with_any_number_of_workers(items: list[Item]) -> None:
    made = {}
    for workers in (0, 1, 3):
        with loading(items, workers) as loader:
            made[workers] = [batch for epoch in range(3) for batch in loader.epoch(epoch)]
            assert len(loader) * 3 == len(made[workers]) == 9
    assert same(made[0], made[1])
    assert same(made[0], made[3])
    images, labels, indices = made[0][0]
    assert (images.shape, images.dtype) == ((4, 3, 16, 16), torch.uint8)
    assert labels.tolist() == [index % 3 for index in indices.tolist()]


def test_batches_come_also_where_they_do_not_fit_into_shared_memory(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)"
        )

    with loading(items, 0) as loader:
        expected = list(loader.epoch(0))
    monkeypatch.setattr("ft.data.batches.default_collate", full)  # the processes inherit it
    with loading(items, 2) as loader:
        got = list(loader.epoch(0))
    assert same(got, expected)
    got[0][0].zero_()  # as any tensor, it may be written to


def test_processes_that_cannot_start_are_one_line_with_the_way_out(
    items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.utils.data.DataLoader.__iter__", full)
    with loading(items, 1) as loader, pytest.raises(FtError, match=r"No space left.*--shm-size 1g; --workers 0"):
        list(loader.epoch(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_while_workers_run_the_pages_they_share_are_not_touched_to_collect_garbage(
    items: list[Item], workers: int
) -> None:
    before = gc.get_freeze_count()
    with loading(items, workers) as loader:
        list(loader.epoch(0))
        assert (gc.get_freeze_count() > before) == (workers > 0)
    assert gc.get_freeze_count() == (0 if workers else before)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_from_its_middle_without_reading_what_was_before(items: list[Item], workers: int) -> None:
    with loading(items, workers) as loader:
        whole = list(loader.epoch(1))
        for index in whole[0][2].tolist():
            items[index].picture.path.unlink()
        assert same(list(loader.epoch(1, skip=1)), whole[1:])
        assert list(loader.epoch(1, skip=3)) == []


def test_an_epoch_that_was_left_early_does_not_show_in_the_next(items: list[Item]) -> None:
    with loading(items, 2) as loader:
        for _ in loader.epoch(0):
            break
        assert [batch[2].tolist() for batch in loader.epoch(5)] == epoch_batches(11, 4, 3, 5, shuffle=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_became_unreadable_is_named_and_nothing_else(items: list[Item], workers: int) -> None:
    items[6].picture.path.write_text("text")
    with loading(items, workers, shuffle=False) as loader, pytest.raises(FtError) as error:
        list(loader.epoch(0))
    assert str(error.value).startswith(f"cannot read the image {items[6].picture.name}: not an image")
    assert "\n" not in str(error.value)


def test_loading_leaves_the_random_state_of_the_run_alone(items: list[Item]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    for workers in (0, 1):
        torch.manual_seed(5)
        with loading(items, workers) as loader:
            list(loader.epoch(0))
        assert torch.equal(torch.rand(3), expected)


def test_workers_say_nothing_of_a_parent_that_stops_while_it_is_handed_a_batch(
    items: list[Item], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def hang_up(address: str, authkey: bytes) -> None:
        connection.SocketClient(address).close()
        raise StopAsked(signal.SIGINT, None)

    with loading(items, 1) as loader:
        monkeypatch.setattr(connection, "Client", hang_up)
        with pytest.raises(StopAsked):
            list(loader.epoch(0))
        monkeypatch.undo()
        list(loader.epoch(0))  # so the worker has come to the end of what was hung up on
    assert capfd.readouterr().err == ""


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes in /proc")
def test_workers_leave_signals_to_the_parent_live_on_between_epochs_and_end_with_the_loader(items: list[Item]) -> None:
    before = children()
    with loading(items, 2) as loader:
        first = list(loader.epoch(0))
        workers = children() - before
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert same(list(loader.epoch(0)), first)
        assert children() - before == workers
    deadline = time.monotonic() + 10
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children() - before == set()


@pytest.mark.parametrize(
    ("device", "batches", "cores", "world", "workers"),
    [
        ("cpu", 100, 1, 1, 1),
        ("cpu", 100, 2, 1, 1),
        ("cpu", 100, 16, 1, 4),
        ("cpu", 1, 16, 1, 0),
        ("cuda", 100, 16, 1, 8),
        ("cuda", 100, 16, 4, 4),
        ("cuda", 3, 16, 1, 2),
        ("cuda:1", 100, 2, 4, 1),
    ],
)
def test_workers_are_as_many_as_there_is_work_and_room_for(
    device: str, batches: int, cores: int, world: int, workers: int
) -> None:
    assert auto_workers(device, batches, cores, world) == workers


def _batches_of(items: list[Item], workers: Any) -> int | str:
    try:
        with loading(items, workers, batch_size=1) as loader:
            return len(list(loader.epoch(0)))
    except FtError as error:
        return str(error)


def test_a_process_that_may_have_none_decodes_by_itself(items: list[Item]) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:  # whose processes are daemonic
        assert pool.apply(_batches_of, (items, "auto")) == len(items)
        assert "--workers 0" in str(pool.apply(_batches_of, (items, 1)))


def test_a_program_ends_although_a_traceback_still_holds_a_loader(items: list[Item]) -> None:
    items[0].picture.path.write_text("text")
    script = f"""
from pathlib import Path
from ft import Preprocessing
from ft.data.load import Item
from ft.data.dataset import ImageDataset
from ft.data.transforms import eval_transform
from ft.data.loaders import Workers, make_loader
from ft.data.pictures import Picture
items = [Item(Picture.at(Path({str(items[0].picture.path.parent)!r}) / f"{{number}}.png"), 0) for number in range(11)]
dataset = ImageDataset(items, eval_transform(Preprocessing(16, 18)))
for batch in make_loader(dataset, 4, Workers(2, "cpu"), False).epoch(0):
    pass
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.rstrip().splitlines()[-1].startswith("ft.errors.FtError: cannot read the image")


def test_images_are_drawn_as_often_as_is_asked_whatever_the_epoch_before_was() -> None:
    odds = [1.0, 3.0, 0.0]
    drawn = Counter(index for epoch in range(400) for batch in epoch_batches(3, 2, 5, epoch, odds) for index in batch)
    assert sum(drawn.values()) == 1200
    assert drawn[2] == 0
    assert drawn[1] / drawn[0] == pytest.approx(3, rel=0.15)
    assert epoch_batches(3, 2, 5, 7, odds) == epoch_batches(3, 2, 5, 7, [2.0, 6.0, 0.0])
