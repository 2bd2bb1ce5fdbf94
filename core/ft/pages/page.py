"""A page, drawn: records become one HTML text that holds its style, its script and its images, and asks for nothing.

Every text is escaped, and what cannot be seen in it is spelt out: names of classes and files come from anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from ft.extension.sections import Chart, Part, Section, Slider
from ft.machine.layout import count
from ft.pages.charts import Mark, draw_chart
from ft.pages.parallel import draw_parallel
from ft.pages.pictures import data_uri
from ft.pages.records import Album, Page
from ft.pages.tables import lay_out, square
from ft.pages.templating import environment, script_hash, template
from ft.pages.wanted import MOST_SHOTS, opened_by_charts
from ft.text.counting import written
from ft.text.terminal import visible

NOT_EMBEDDED = "this file holds no picture of it"


def draw(page: Page, album: Album) -> str:
    """The whole page as the text of an HTML file."""
    from markupsafe import Markup

    script = template("ft.pages", "page.js")
    return (
        environment("ft.pages")
        .get_template("page.html.j2")
        .render(
            **_helpers(album),
            page=page,
            sections=list(_anchored(page.sections)),
            style=Markup(template("ft.pages", "page.css")),
            script=Markup(script),
            script_hash=script_hash(script),
            images=Markup(_for_script(_images(album, page.sections))),
        )
    )


def _anchored(sections: Sequence[Section]) -> Iterator[tuple[str, Section]]:
    """Each section with the name by which links find it, which is its alone."""
    taken: dict[str, int] = {}
    for section in sections:
        name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        taken[name] = taken.get(name, 0) + 1
        yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), section


def _helpers(album: Album) -> dict[str, Any]:
    """What templates ask, beside what the records say."""
    from markupsafe import Markup, escape

    def opening(mark: Mark) -> Markup:
        return Markup("") if mark.place is None else Markup(' data-open="{}"').format(mark.place)

    def rows_of(slider: Slider) -> Markup:
        return escape(json.dumps(_rows(slider)))

    return {
        "about_maps": album.about_maps,
        "count": count,
        "drawn": draw_chart,
        "strung": draw_parallel,
        "grouped": _grouped,
        "has_map": lambda place, of: (place, of) in album.maps,
        "has_photo": lambda place: place in album.photos,
        "kind_of": lambda part: type(part).__name__,
        "lay_out": lay_out,
        "most_shots": MOST_SHOTS,
        "name_of": lambda place: _name(album, place),
        "opening": opening,
        "rows_of": rows_of,
        "square": square,
        "typed": lambda text: Markup(escape(text)),
        "why_none": lambda place: album.missing.get(place) or album.note or NOT_EMBEDDED,
    }


def _grouped(parts: Sequence[Part]) -> list[list[Part]]:
    """Charts that follow each other together, since they stand side by side; everything else alone."""
    groups = ([*some] for _, some in groupby(parts, key=lambda part: isinstance(part, Chart)))
    return [part for some in groups for part in ([some] if isinstance(some[0], Chart) else [[each] for each in some])]


def _rows(slider: Slider) -> list[list[str]]:
    """For each value how it is written, then its numbers."""
    forms = [form for _, form in slider.columns]
    return [
        [written(value, slider.form), *(written(each, form) for each, form in zip(row, forms, strict=True))]
        for value, row in zip(slider.values, slider.rows, strict=True)
    ]


def _name(album: Album, place: int) -> str:
    return album.names[place] if place < len(album.names) else f"image {place}"


def _images(album: Album, sections: Sequence[Section]) -> dict[str, Any]:
    """What the script shows when an image is opened."""
    named = {*album.photos, *album.missing, *opened_by_charts(sections)}
    return {
        "photos": {str(place): data_uri(jpeg) for place, jpeg in album.photos.items()},
        "maps": {f"{place}:{of}": data_uri(jpeg) for (place, of), jpeg in album.maps.items()},
        "names": {str(place): visible(_name(album, place)) for place in sorted(named)},
        "why": {str(place): visible(why) for place, why in album.missing.items()},
        "note": album.note or NOT_EMBEDDED,
    }


def _for_script(tree: Any) -> str:
    """JSON that may stand in an element of HTML: nothing in it ends that element, or begins another."""
    text = json.dumps(tree)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
