"""A page, drawn: records become one HTML text that holds its style, its script and its images, and asks for nothing.

Every text is escaped, and what cannot be seen in it is spelt out: names of classes and files come from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ft.extension.sections import Chart, Part, Section, Slider
from ft.machine.layout import count
from ft.pages.charts import Mark, draw_chart
from ft.pages.pictures import data_uri
from ft.pages.records import Album, Page
from ft.pages.tables import lay_out, square
from ft.pages.wanted import MOST_SHOTS, opened_by_charts
from ft.text.counting import written
from ft.text.terminal import visible

if TYPE_CHECKING:
    from jinja2 import Environment

NOT_EMBEDDED = "this file holds no picture of it"


def draw(page: Page, album: Album) -> str:
    """The whole page as the text of an HTML file."""
    from markupsafe import Markup

    script = _template("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            **_helpers(album),
            page=page,
            sections=list(_anchored(page.sections)),
            style=Markup(_template("page.css")),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            images=Markup(_for_script(_images(album, page.sections))),
        )
    )


@cache
def _environment() -> Environment:
    """The templates, which are read and compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, since listing commands needs no templates

    environment = Environment(
        loader=PackageLoader("ft.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda form, value: written(value, form)
    return environment


def _seen(value: Any) -> Any:
    """A text with whatever cannot be seen in it spelt out; what is markup of ours, as it is."""
    return visible(value) if type(value) is str else value


@cache
def _template(name: str) -> str:
    return (files("ft.pages") / "templates" / name).read_text(encoding="utf-8")


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
