"""Small overlays for pages: where in some images lies what one output of each comes from, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ft.data.pictures import Picture
from ft.errors import FtError
from ft.inference.explain import explainer
from ft.inference.load import Trained
from ft.machine.display import Display
from ft.pages.pictures import SIDE, thumbnail

AT_ONCE = 4
"""Images of a batch: between batches, the time is looked at."""
SECONDS = 10.0
"""Seconds after which no further batch is begun."""


@dataclass(frozen=True)
class Maps:
    """Overlays as JPEG, by the place of their image and the number of the output; by what method they were made; why
    there are none, or fewer than were asked for, "" where all are there; and how many are empty, as nothing speaks for
    that output."""

    drawn: dict[tuple[int, int], bytes]
    method: str = ""
    lacking: str = ""
    empty: int = 0


def draw_maps(
    trained: Trained, wanted: Sequence[tuple[int, int]], picture: Callable[[int], Picture | None], display: Display
) -> Maps:
    """Draw an overlay for each pair of an image's number and that of an output; those of images that are gone, or
    cannot be read, are left out."""
    there = [(pair, found) for pair in wanted if (found := picture(pair[0])) is not None]
    small, drawn = replace(trained, batch_size=AT_ONCE, workers=0), dict[tuple[int, int], bytes]()
    method, done, empty = "", 0, 0
    started = time.perf_counter()
    try:
        explain = explainer(small, [of for (_, of), _ in there])
    except FtError as error:
        return Maps({}, lacking=str(error))
    for batch in explain(small, [found for _, found in there], display):
        for (pair, _), each in zip(there[done : done + len(batch)], batch, strict=True):
            if isinstance(each, str):
                continue
            with suppress(FtError):  # gone since the network saw it; its picture says so
                drawn[pair], method = thumbnail(each.overlay(SIDE)), each.said_how
                empty += each.empty
        done += len(batch)
        if time.perf_counter() - started > SECONDS:
            break
    late = f"there was time for {done} of {len(there)} maps" if done < len(there) else ""
    return Maps(drawn, method, late, empty)
