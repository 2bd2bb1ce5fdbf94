"""The service behind the addresses: images come in, answers go out, and nobody waits for longer than agreed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ft.errors import FtError
from ft.extension.tasks import Answer
from ft.inference.prediction import Prediction
from ft.serving.batches import Batches
from ft.serving.checks import check_image, reading
from ft.serving.limits import Batching, Limits
from ft.serving.metrics import Metrics
from ft.serving.refusals import Reason, Refused
from ft.serving.served import Served, picture_in
from ft.serving.uploads import Upload
from ft.text.terminal import visible

if TYPE_CHECKING:
    from ft.inference.explanation import Explanation

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """What became of one image: an answer, or why there is none."""

    upload: Upload
    answer: Answer | None
    refused: Refused | None = None

    @property
    def prediction(self) -> Prediction:
        return Prediction(picture_in(self.upload.content, self.upload.name), self.answer, str(self.refused or ""))


class Service:
    """A model that answers while `open`: threads that decode, one that computes, and how many images are in it."""

    def __init__(self, served: Served, limits: Limits, batching: Batching, threads: int) -> None:
        self.served, self.limits, self.metrics = served, limits, Metrics()
        self._batching, self._threads = batching, threads
        self._inside = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A block in which images are answered."""
        with (
            ThreadPoolExecutor(self._threads, "decoding") as self._decoding,
            ThreadPoolExecutor(1, "computing") as self._computing,
        ):
            self._batches = Batches[tuple[Any, str], Answer | str](
                self._answered, self._batching, self._computing, self.metrics.batch
            )
            answering = asyncio.create_task(self._batches.run())
            try:
                yield
            finally:
                answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering

    @property
    def waiting(self) -> int:
        """Images in the service."""
        return self._inside

    @property
    def stuck(self) -> bool:
        """Whether one batch takes longer than a request may."""
        return self._batches.seconds_of_the_present > self.limits.seconds

    @contextmanager
    def room(self, images: int) -> Iterator[None]:
        """A block in which so many images more are in the service. Raises Refused where there is no room for them."""
        if self._inside + images > self.limits.waiting:
            raise Refused("full", f"{self._inside} images wait already, and {self.limits.waiting} may; ask again later")
        self._inside += images
        self.metrics.waiting.inc(images)
        try:
            yield
        finally:
            self._inside -= images
            self.metrics.waiting.dec(images)

    async def in_time(
        self,
        read: Coroutine[Any, Any, T],
        answer: Callable[[T], Coroutine[Any, Any, Any]],
        left: Callable[[], Coroutine[Any, Any, None]],
    ) -> Any:
        """What `answer` makes of what is `read`. Raises Refused where both together take longer than a request may, and
        where the client has `left` before there is an answer: what it waited for is then not computed any more."""
        arrived = False
        try:
            async with asyncio.timeout(self.limits.seconds):
                given = await read
                arrived = True
                return await _unless(left(), answer(given))
        except TimeoutError as error:
            seconds = f"{self.limits.seconds:g} seconds"
            if arrived:
                raise Refused("time", f"there was no answer within {seconds}; send fewer images at once") from error
            raise Refused("slow", f"the request did not arrive within {seconds}") from error

    async def answers(self, uploads: Sequence[Upload]) -> list[Told]:
        """What becomes of each image. What is wrong with one is told of that one alone."""
        found = [*await asyncio.gather(*map(self._answer, uploads))]
        self.metrics.images.inc(sum(each.answer is not None for each in found))
        return found

    async def explanation(self, upload: Upload, of: str | None) -> Explanation:
        """Where in an image that has an answer the output of a name comes from. Raises Refused where nothing can be
        said."""
        explain, picture = self.served.explain, picture_in(upload.content, visible(upload.name))
        assert explain is not None
        found = await self._in(self._computing, lambda: explain(picture, of))
        if isinstance(found, str):
            raise Refused("no-number", found)
        return found

    async def decoding(self, work: Callable[[], T]) -> T:
        """What `work` returns, done where images are decoded."""
        return await self._in(self._decoding, work)

    async def _answer(self, upload: Upload) -> Told:
        try:
            with self._batches.coming():
                ready = await self._in(self._decoding, lambda: self._prepared(upload))
                waits = self._batches.put((ready, visible(upload.name)))
            said = await waits
        except Refused as refused:
            return Told(upload, None, refused)
        if isinstance(said, str):
            reason: Reason = "unreadable" if said.startswith("cannot read") else "no-number"
            return Told(upload, None, Refused(reason, said))
        return Told(upload, said)

    def _prepared(self, upload: Upload) -> Any:
        name = visible(upload.name)
        check_image(upload.content, name, self.limits)
        return reading(lambda: self.served.prepare(picture_in(upload.content, name)), name)

    def _answered(self, images: Sequence[tuple[Any, str]]) -> Sequence[Answer | str]:
        try:
            return self.served.answer([image for image, _ in images], [name for _, name in images])
        except FtError as error:  # as where memory runs out
            raise Refused("memory", str(error)) from error

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


async def _unless(left: Coroutine[Any, Any, None], answer: Coroutine[Any, Any, Any]) -> Any:
    """What an answer comes to. Raises Refused, and ends it, where the client has left before."""
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(left)
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise Refused("left", "the client left before there was an answer")
        return answering.result()
    finally:
        answering.cancel()
        leaving.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
