"""The pictures of a page: small copies of the images that its sections name, as far as they are still there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ft.data.decoding import decode_image
from ft.data.image_failures import failure_of
from ft.extension.sections import Section
from ft.machine.display import Display
from ft.pages.pictures import SIDE, thumbnail
from ft.pages.records import Album
from ft.pages.wanted import wanted
from ft.reporting.finished import Finished
from ft.reporting.found import Found

OFF = "report.pictures is off"
MOST_BYTES = 2_500_000
"""Of all small copies of one page together: 3.3 MB as they are written there."""


def pictures_of(sections: Sequence[Section], finished: Finished, found: Found | None, display: Display) -> Album:
    """Small copies of the images that sections name by their numbers, the most telling first, and no more than fit;
    without any, where images are not to be `found`.

    They are read and decoded on all cores. One that cannot be shown is named with the reason.
    """
    names = [image.path for image in finished.images]
    if found is None:
        return Album(names, note=OFF)
    places = wanted(sections).places

    def look(place: int) -> bytes | str:
        content = found.content(place)
        if isinstance(content, str):
            return content
        try:
            return thumbnail(decode_image(content, finished.preprocessing.value_range, least=SIDE))
        except Exception as error:
            return failure_of(error, names[place])

    photos, missing, size = dict[int, bytes](), dict[int, str](), 0
    with display.progress("pictures of the report", len(places), unit="images") as bar, ThreadPoolExecutor() as pool:
        for place, made in zip(places, pool.map(look, places), strict=True):
            if isinstance(made, str):
                missing[place] = made
            elif size + len(made) <= MOST_BYTES:
                photos[place] = made
                size += len(made)
            bar.advance(len(photos) + len(missing))
    return Album(names, photos, missing=missing)
