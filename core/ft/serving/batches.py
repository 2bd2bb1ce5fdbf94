"""Batches across requests: images come from everywhere, and one thread computes as many together as there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Generic, TypeVar

from ft.serving.limits import Batching

I = TypeVar("I")  # noqa: E741  # an image, prepared
A = TypeVar("A")


class Batches(Generic[I, A]):
    """Those who wait for an answer, and `run`, which answers them.

    `compute` makes of a batch its answers, in a thread of its own. A batch is begun as soon as it is full, the first of
    it has waited for `batching.wait` seconds, or nobody is known to be on the way. `told` is called with the images and
    the seconds of each batch.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[I]], Sequence[A]],
        batching: Batching,
        thread: Executor,
        told: Callable[[int, float], None],
    ) -> None:
        self._compute, self._batching, self._thread, self._told = compute, batching, thread, told
        self._waiting: asyncio.Queue[tuple[I, asyncio.Future[A]]] = asyncio.Queue()
        self._coming = 0
        self._began: float | None = None

    @property
    def seconds_of_the_present(self) -> float:
        """For how long the batch is computed that is computed now; 0 where there is none."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    @contextmanager
    def coming(self) -> Iterator[None]:
        """A block in which an image is on its way, for which others may wait."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def put(self, image: I) -> asyncio.Future[A]:
        """Add an image; what is returned gets its answer, or is cancelled by who waits no longer."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((image, answer))
        return answer

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            some = [(image, answer) for image, answer in await self._gathered() if not answer.done()]
            if some:
                await self._answered(some)

    async def _gathered(self) -> list[tuple[I, asyncio.Future[A]]]:
        some = [await self._waiting.get()]
        until = asyncio.get_running_loop().time() + self._batching.wait
        while len(some) < self._batching.size:
            if not self._waiting.empty():
                some.append(self._waiting.get_nowait())
            elif not self._coming:
                break
            else:
                try:
                    async with asyncio.timeout_at(until):
                        some.append(await self._waiting.get())
                except TimeoutError:
                    break
        return some

    async def _answered(self, some: Sequence[tuple[I, asyncio.Future[A]]]) -> None:
        began = self._began = time.monotonic()
        try:
            answers = await self._computed([image for image, _ in some])
        except Exception as error:
            if len(some) > 1:  # so that what is wrong with one harms no other
                for one in some:
                    await self._answered([one])
            elif not some[0][1].done():
                some[0][1].set_exception(error)
            return
        finally:
            self._began = None
        self._told(len(some), time.monotonic() - began)
        for (_, waits), answer in zip(some, answers, strict=True):
            if not waits.done():
                waits.set_result(answer)

    async def _computed(self, images: Sequence[I]) -> Sequence[A]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._compute, images)
