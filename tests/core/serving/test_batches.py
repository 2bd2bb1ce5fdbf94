"""Batches across requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from ft.serving.batches import Batches
from ft.serving.limits import Batching


def answered(
    ask: Callable[[Batches[int, int]], object],
    size: int = 4,
    wait: float = 0.0,
    compute: Callable[[Sequence[int]], Sequence[int]] = lambda images: [10 * each for each in images],
) -> list[int]:
    """How many images were in each batch, while `ask` asked."""
    batches: list[int] = []

    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            made = Batches(compute, Batching(size, wait), thread, lambda images, _: batches.append(images))
            running = asyncio.create_task(made.run())
            await ask(made)  # type: ignore[misc]
            running.cancel()

    asyncio.run(run())
    return batches


def test_those_that_wait_are_computed_together_and_each_gets_its_own_answer() -> None:
    async def ask(batches: Batches[int, int]) -> None:
        found = await asyncio.gather(*(batches.put(each) for each in range(10)))
        assert found == [10 * each for each in range(10)]

    assert answered(ask) == [4, 4, 2]


def test_an_image_waits_for_others_that_are_on_their_way_and_for_nobody_else() -> None:
    async def ask(batches: Batches[int, int]) -> None:
        assert await batches.put(1) == 10  # nobody is on the way, so this does not take an hour
        with batches.coming():
            first = batches.put(2)
            await asyncio.sleep(0.05)
            assert not first.done()
            second = batches.put(3)
            await asyncio.sleep(0.05)
            assert not second.done()
            assert await asyncio.gather(*map(batches.put, (4, 5)), first, second) == [40, 50, 20, 30]

    assert answered(ask, wait=3600) == [1, 4]


def test_a_batch_that_is_not_full_begins_when_its_first_image_has_waited() -> None:
    async def ask(batches: Batches[int, int]) -> None:
        with batches.coming():  # for ever
            assert await batches.put(1) == 10

    assert answered(ask, wait=0.01) == [1]


def test_what_is_wrong_with_one_image_harms_no_other_of_its_batch() -> None:
    def compute(images: Sequence[int]) -> Sequence[int]:
        if 2 in images:
            raise ValueError("not 2")
        return [10 * each for each in images]

    async def ask(batches: Batches[int, int]) -> None:
        found = await asyncio.gather(*map(batches.put, (1, 2, 3)), return_exceptions=True)
        assert found[::2] == [10, 30]
        assert isinstance(found[1], ValueError)

    assert answered(ask, compute=compute) == [1, 1]


def test_what_nobody_waits_for_any_more_is_not_computed() -> None:
    seen: list[int] = []
    go_on = threading.Event()

    def compute(images: Sequence[int]) -> Sequence[int]:
        go_on.wait()
        seen.extend(images)
        return images

    async def ask(batches: Batches[int, int]) -> None:
        first = batches.put(1)
        await asyncio.sleep(0.05)
        second, third = batches.put(2), batches.put(3)
        second.cancel()
        assert batches.seconds_of_the_present > 0
        go_on.set()
        assert await asyncio.gather(first, third) == [1, 3]
        with pytest.raises(asyncio.CancelledError):
            await second

    assert answered(ask, compute=compute) == [1, 1]
    assert seen == [1, 3]
