"""Rows in shards: how many lie in a file, and batches cut to fit, so that a pass that ends early keeps what it has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from ft.cache.rows import Shape, starts
from ft.cache.writer import Writer
from ft.prefix.records import Tensors

FEWEST_ROWS = 1024
"""Rows below which a pass is not cut for their number's sake."""
MOST_SHARDS = 32
"""Shards of a pass whose rows are small: a process that is killed loses no more than that share of its work."""


def rows_in_shard(shapes: Sequence[Shape], rows: int, most_bytes: int) -> int:
    """How many of the `rows` of a pass lie in one shard: a 32nd of them, or 1024, or what fits into so many bytes.

    It follows from nothing else, so that two processes that compute the same rows write the same files.
    """
    fitting = most_bytes // max(1, sum(shape.row_bytes for shape in shapes))
    return max(1, min(rows, fitting, max(FEWEST_ROWS, -(-rows // MOST_SHARDS))))


class Pieces:
    """The rows that come in batches, given out in pieces that fit into what is left of a shard.

    `ended` is what ended the batches before their time: an image that changed, or a signal that asks to stop.
    """

    ended: BaseException | None = None

    def __init__(self, batches: Iterator[Tensors]) -> None:
        self._batches, self._rest = batches, tuple[Tensors, ...]()
        self._took = list[float]()

    def fill(self, writer: Writer, names: Tensors) -> int:
        """Write rows until the shard is full, each with its part of `names`; return how many there are.

        They are fewer than its size only where the batches ended.
        """
        done = 0
        while done < writer.rows and (piece := self._next(writer.rows - done)) is not None:
            end = done + len(piece[0])
            writer.put(done, (*piece, *(tensor[done:end] for tensor in names)))
            done = end
        return done

    def end(self) -> None:
        """Let the batches end, once all rows are written. Raises what they raise."""
        if self.ended is None:
            rest = self._next(1)
            assert rest is None, "there are more rows than names"
        if self.ended is not None:
            raise self.ended

    def seconds(self) -> float:
        """What the batches took since this was asked last, without what happens once: processes that start, memory that
        is found."""
        took, self._took = self._took, []
        return len(took) * statistics.median(took[1:] or took) if took else 0.0

    def _next(self, most: int) -> Tensors | None:
        if self._rest:
            (batch,), self._rest = self._rest, ()
        else:
            started = time.perf_counter()
            try:
                found = next(self._batches, None)
            except BaseException as error:  # what was computed until then is as good as it was
                self.ended = error
                return None
            if found is None:
                return None
            self._took.append(time.perf_counter() - started)
            batch = found
        if len(batch[0]) > most:
            self._rest = (tuple(tensor[most:] for tensor in batch),)
            batch = tuple(tensor[:most] for tensor in batch)
        return batch


def size_in_shards(shapes: Sequence[Shape], rows: int, most_bytes: int) -> int:
    """Bytes of the files of so many rows."""
    each = rows_in_shard(shapes, rows, most_bytes)
    whole, rest = divmod(rows, each)
    return whole * starts(shapes, each)[-1] + (starts(shapes, rest)[-1] if rest else 0)
