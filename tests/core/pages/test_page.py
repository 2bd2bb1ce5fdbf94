from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ft.extension.sections import (
    Chart,
    Choice,
    Code,
    Facts,
    Layer,
    Layers,
    Line,
    Matrix,
    Note,
    Part,
    Pictures,
    Section,
    Shot,
    Slider,
)
from ft.extension.tasks import Table
from ft.pages.page import draw
from ft.pages.records import Album, Headline, Page, Scale

MARKUP = "<img src=x onerror=alert(1)>"
HIDDEN = "caf\udce9\u202egnp\x1b[2J"
NAMES = (MARKUP, "a [/b]", "x" * 200, HIDDEN, "{{ 7 * 7 }}", "</script><script>alert(1)</script>")


class Read(HTMLParser):
    """What a page holds: its elements with their attributes, and its text without scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif not self.inside:
            self.text += data

    def all(self, tag: str, **attrs: str) -> list[dict[str, str | None]]:
        named = {name.replace("_", "-"): value for name, value in attrs.items()}
        return [found for each, found in self.elements if each == tag and named.items() <= found.items()]


def page_of(*parts: Part, album: Album | None = None, **fields: Any) -> Read:
    given: dict[str, Any] = {"about": (), "headlines": (), "notes": (), "sections": (Section("A", parts),), **fields}
    return Read(draw(Page("Title", **given), album or Album()))


def everything(name: str) -> Read:
    """A page in which a name stands wherever one may."""
    parts = (
        Note(name, warns=True),
        Pictures(name, (Shot(0, name, of=0, marked=name), Shot(1, name, beside=0))),
        Chart(name, name, name, (Line(name, ((0, 1), (1, 2)), (0, 1)), Line(name, ((0, 1),))), note=name),
        Matrix((name, "b"), {(0, 1): (0, 1), (1, 1): (1,)}, of=name, taken=name),
        Matrix(tuple(f"{name}{n}" for n in range(40)), {(0, 1): (0,)}),
        Table(name, {"name": (name, "")}, ({"name": name},)),
        Choice(name, {name: (Note(name),)}),
        Slider(name, (0.5,), ((name, ".1%"),), ((0.5,),)),
        Facts(((name, name),)),
        Code(name, name),
        Layers((Layer(name, 10, 0.5, name),), note=name),
    )
    album = Album((name, name), {0: b"\xff\xd8"}, {(0, 0): b"\xff\xd8"}, {1: name}, name)
    headline = Headline(name, name, name, ((name, name),), Scale(0.5, 0.4, 0.6, 0.3))
    given: dict[str, Any] = {"about": (name,), "headlines": (headline,), "notes": (Note(name),), "made": name}
    return Read(draw(Page(name, sections=(Section(name, parts, name), Section(name, ())), **given), album))


@pytest.mark.parametrize("name", NAMES)
def test_text_from_outside_is_never_markup(name: str) -> None:
    plain, strange = everything("plain"), everything(name)
    assert [tag for tag, _ in strange.elements] == [tag for tag, _ in plain.elements]
    attributes = [[*found] for _, found in strange.elements]
    assert attributes == [[*found] for _, found in plain.elements]
    assert len(strange.scripts) == 2
    json.loads(strange.scripts[0])


def test_what_cannot_be_seen_is_spelt_out_and_what_is_no_utf8_can_be_written() -> None:
    text = draw(Page("Title", (HIDDEN,), (), (), ()), Album((HIDDEN,), {0: b""}))
    assert "caf\\udce9\\u202egnp\\x1b[2J" in text
    assert not {"\u202e", "\x1b", "\udce9"} & {*text}
    text.encode("utf-8")


def test_a_page_asks_for_nothing_and_runs_no_other_script() -> None:
    page = everything("plain")
    policy = next(
        str(found["content"]) for found in page.all("meta") if found.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    for tag, found in page.elements:
        for attribute in ("src", "href", "action", "xlink:href"):
            value = found.get(attribute) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, value)
        assert not [name for name in found if name.startswith("on")], tag


def test_an_image_is_in_the_file_once_however_often_it_is_shown() -> None:
    jpeg = b"\xff\xd8once"
    shots = tuple(Shot(0, f"shot {number}") for number in range(3))
    text = draw(Page("Title", (), (), (), (Section("A", (Pictures("", shots),)),)), Album(("0.png",), {0: jpeg}))
    assert text.count(base64.b64encode(jpeg).decode()) == 1
    assert len(Read(text).all("img", data_photo="0")) == 3


def test_an_image_without_a_picture_is_named_with_the_reason() -> None:
    page = page_of(
        Pictures("", (Shot(0, "first"), Shot(1, "second"))),
        album=Album(("a.png", "b.png"), {}, {}, {0: "it is gone"}, "none"),
    )
    assert re.findall(r"it is gone|none|a\.png|b\.png", page.text) == ["it is gone", "a.png", "none", "b.png"]
    assert page.all("img") == []


def test_a_section_is_found_by_its_name_also_where_two_have_one() -> None:
    page = page_of(sections=(Section("By class!", ()), Section("By class", ()), Section("猫", ())))
    assert [found["id"] for found in page.all("section")] == ["by-class", "by-class-2", "section"]
    assert {f"#{found['id']}" for found in page.all("section")} <= {found.get("href") for found in page.all("a")}


def test_a_slider_holds_all_its_rows_and_a_choice_all_its_parts() -> None:
    slider = Slider("threshold", (0.25, 0.5), (("precision", ".1%"),), ((0.5,), (1.0,)), start=1)
    page = page_of(Choice("class", {"a": (slider,), "b": (Note("nothing"),)}))
    (found,) = page.all("div", **{"class": "slider"})
    assert json.loads(str(found["data-rows"])) == [["0.25", "50.0%"], ["0.50", "100.0%"]]
    assert [option["value"] for option in page.all("option")] == ["0", "1"]
    (chosen,) = page.all("input")
    assert (chosen["max"], chosen["value"]) == ("1", "1")


def test_two_images_side_by_side_are_named_and_opened_together() -> None:
    page = page_of(Pictures("", (Shot(0, "the same", beside=1),)), album=Album(("a.png", "b.png"), {0: b"", 1: b""}))
    assert [found["data-open"] for found in page.all("button") if "data-open" in found] == ["0 1"]
    assert [found["data-photo"] for found in page.all("img")] == ["0", "1"]
    assert re.findall(r"[ab]\.png", page.text) == ["a.png", "b.png"]


def test_rows_of_pictures_beyond_what_fits_are_counted() -> None:
    page = page_of(Pictures("", tuple(Shot(n, "shot") for n in range(60))), album=Album(tuple(map(str, range(60)))))
    assert "The first 24 of 60 images." in page.text
    assert len(page.all("figure")) == 24
