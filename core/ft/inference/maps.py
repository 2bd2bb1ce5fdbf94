"""Small overlays for pages: where in some images lies what one output of each comes from, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ft.data.load import Item
from ft.errors import FtError
from ft.inference.explain import explainer
from ft.inference.load import Trained
from ft.machine.display import Display
from ft.pages.pictures import SIDE, thumbnail

AT_ONCE = 4
"""Images of a batch: between batches, the time is looked at."""
MOST = 24
"""Images that are explained at most."""
SECONDS = 20.0
"""Seconds after which no further batch is begun."""


@dataclass(frozen=True)
class Maps:
    """Overlays as JPEG, by the place of their image and the number of the output; by what method they were made; and
    why there are none, or fewer than were asked for, "" where all are there."""

    drawn: dict[tuple[int, int], bytes]
    method: str = ""
    lacking: str = ""


def draw_maps(trained: Trained, wanted: Sequence[tuple[int, int]], items: Sequence[Item], display: Display) -> Maps:
    """Draw an overlay for each pair of an image's place among `items` and the number of an output, the first `MOST` of
    them; those of images that cannot be read are left out."""
    some, drawn, method = list(dict.fromkeys(wanted))[:MOST], dict[tuple[int, int], bytes](), ""
    small, started = replace(trained, batch_size=AT_ONCE, workers=0), time.perf_counter()
    try:
        explain = explainer(small, [of for _, of in some])
    except FtError as error:
        return Maps({}, lacking=str(error))
    done = 0
    for batch in explain(small, [items[place].picture for place, _ in some], display):
        for pair, each in zip(some[done : done + len(batch)], batch, strict=True):
            if not isinstance(each, str):
                try:
                    drawn[pair] = thumbnail(each.overlay(SIDE))
                except FtError:  # gone since the network saw it; its picture says so
                    continue
                method = each.said_how
        done += len(batch)
        if time.perf_counter() - started > SECONDS:
            break
    late = f"there was time for {done} of {len(some)} maps" if done < len(some) else ""
    return Maps(drawn, method, late)
