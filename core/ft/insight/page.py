"""What features know, as a page of its own: before any run, or between two."""

from __future__ import annotations

from ft._version import __version__
from ft.data.load import ImageData
from ft.data.thumbnails import thumbnails
from ft.data.values import Range
from ft.extension.sections import Section
from ft.insight.records import Known
from ft.insight.section import known_section
from ft.machine.display import Display
from ft.pages.page import draw
from ft.pages.records import Album, Headline, Page
from ft.pages.wanted import wanted
from ft.text.counting import number_of


def known_page(known: Known, data: ImageData, backbone: str, value_range: Range | None, display: Display) -> str:
    """The HTML text of what is `known` of `data`, going by the features of this backbone."""
    names = [item.picture.name for item in data.items]
    section = known_section(known, {name: place for place, name in enumerate(names)}, len(names))
    page = Page(
        title=f"What {backbone} knows of {data.source}",
        about=(data.task.name, number_of(len(data.space.names), *data.task.record.noun), f"{len(names):,} images"),
        headlines=tuple(_headlines(known)),
        notes=(),
        sections=(section,),
        made=f"Written by ft {__version__}. This file is complete: it needs no network, and asks for nothing.",
    )
    return draw(page, _album([section], names, data, value_range, display))


def _headlines(known: Known) -> list[Headline]:
    across = sum(each.splits[0] != each.splits[1] for each in known.copies)
    found = [Headline("labels that may be wrong", f"{len(known.labels):,}")] if known.judged is not None else []
    return [
        *found,
        Headline("pairs that show the same", f"{len(known.copies):,}", f"{across:,} of them across splits"),
        Headline("images unlike all others", f"{len(known.outliers):,}"),
    ]


def _album(
    sections: list[Section], names: list[str], data: ImageData, value_range: Range | None, display: Display
) -> Album:
    places = wanted(sections).places
    with display.progress("small pictures", len(places), unit="images"):
        made = thumbnails(places, data.items, data.digests, value_range)
    photos = {place: each for place, each in made.items() if isinstance(each, bytes)}
    return Album(names, photos, missing={place: each for place, each in made.items() if isinstance(each, str)})
