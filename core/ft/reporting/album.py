"""The pictures of a page: small copies of the images that its sections name, as far as they are still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ft.data.decoding import decode_image
from ft.data.image_failures import failure_of
from ft.extension.sections import Section
from ft.inference.load import Trained
from ft.inference.maps import Maps, draw_maps
from ft.machine.display import Display
from ft.pages.pictures import SIDE, thumbnail
from ft.pages.records import Album
from ft.pages.wanted import wanted
from ft.reporting.finished import Finished
from ft.reporting.found import Found
from ft.reporting.seen import Made

OFF = "report.pictures is off"
MOST_BYTES = 2_500_000
"""Of all small copies of one page together: 3.3 MB as they are written there."""


def pictures_of(
    sections: Sequence[Section], finished: Finished, found: Found | None, made: Made, display: Display
) -> Album:
    """Small copies of the images that sections name by their numbers, the most telling first, and no more than fit;
    without any, where images are not to be `found`. Beside them stand those that are `made`, all of them.

    They are read and decoded on all cores. One that cannot be shown is named with the reason.
    """
    names = [image.path for image in finished.images]
    if found is None:
        return Album(names, note=OFF)
    places = [place for place in wanted(sections).places if place < len(names)]

    def look(place: int) -> bytes | str:
        content = found.content(place)
        if isinstance(content, str):
            return content
        try:
            return thumbnail(decode_image(content, finished.preprocessing.value_range, least=SIDE))
        except Exception as error:
            return failure_of(error, names[place])

    photos, missing = dict(enumerate(made.photos, start=len(names))), dict[int, str]()
    size = sum(map(len, made.photos))
    with display.progress("pictures of the report", len(places), unit="images") as bar, ThreadPoolExecutor() as pool:
        for place, small in zip(places, pool.map(look, places), strict=True):
            if isinstance(small, str):
                missing[place] = small
            elif size + len(small) <= MOST_BYTES:
                photos[place] = small
                size += len(small)
            bar.advance(len(photos) + len(missing))
    return Album([*names, *made.names], photos, missing=missing)


def with_maps(
    album: Album, sections: Sequence[Section], found: Found, load: Callable[[], Trained], display: Display
) -> Album:
    """The album with maps of where in its photos the answers come from that sections ask for."""
    pairs = [pair for pair in wanted(sections).maps if pair[0] in album.photos]
    if not pairs:
        return album
    made = draw_maps(load(), pairs, found.picture, display)
    return replace(album, maps=made.drawn, about_maps=" ".join(_about(made)))


def _about(made: Maps) -> Iterator[str]:
    if made.drawn:
        yield f"Beside a picture: where in it that answer comes from, by {made.method}; yellow speaks for it most."
    if made.empty:
        yield f"Nothing does so in {made.empty} of them, which are all grey."
    if made.lacking:
        yield f"{made.lacking[0].upper()}{made.lacking[1:]}."
