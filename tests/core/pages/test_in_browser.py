"""Pages as a browser shows them: from the disk, without a network, wide and narrow, light and dark, by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from browser import Browser
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
    Parallel,
    Pictures,
    Section,
    Shares,
    Shot,
    Slider,
    Strand,
    Upright,
)
from ft.extension.tasks import Table
from ft.pages.page import draw
from ft.pages.pictures import thumbnail
from ft.pages.records import Album, Headline, Page, Scale

MARKUP = "<img src=x onerror=alert(1)>"
LONG = "a name without an end " * 12 + "_" * 200
NAMES = (f"/photos/{MARKUP}/0.png", f"/photos/{LONG}/1.png", "/photos/2.png", "/photos/3.png")


def jpeg(colour: str, size: tuple[int, int] = (120, 80)) -> bytes:
    return thumbnail(Image.new("RGB", size, colour))


def sections(name: str) -> tuple[Section, ...]:
    """Every part there is, with a name wherever one may stand."""
    points = Line(name, ((0, 0), (1, 1), (2, 0)), (0, 1, 3))
    table = Table(
        "classes",
        {"name": (name, ""), "f1": ("F1", ".3f")},
        tuple({"name": n, "f1": f} for n, f in ((name, 0.5), ("b", 0.25), ("c", 0.75))),
    )
    slider = Slider(name, (0.1, 0.5, 0.9), (("precision", ".1%"),), ((0.2,), (0.4,), (0.6,)), start=1)
    return (
        Section(
            "Pictures",
            (
                Note(name, warns=True),
                Pictures(name, (Shot(0, name, of=1, marked=name), Shot(1, name), Shot(3, name))),
                Pictures("pairs", (Shot(2, name, beside=0),)),
            ),
            name,
        ),
        Section(
            "Figures",
            (
                Chart(name, name, name, (Line(name, ((1, 2), (2, 3))), Line("b", ((1, 1), (2, 5)))), note=name),
                Chart("map", "x", "y", (points,), "points"),
                Matrix((name, "b"), {(0, 1): (0, 1), (1, 1): (2,)}),
                Matrix(tuple(f"{name} {n}" for n in range(30)), {(n, (n + 1) % 30): (0,) for n in range(30)}),
                table,
            ),
        ),
        Section(
            "Choices",
            (
                Choice("class", {name: (slider,), "b": (Note("this is b"),)}),
                Facts(((name, name),)),
                Code(name, f"ft report '{name}'"),
                Layers((Layer(name, 10, 1.0), Layer("head", 5, 0.0)), cut=1, note=name),
            ),
        ),
        Section(
            "Many runs",
            (
                Shares(name, ((name, 0.75), ("b", 0.25)), note=name),
                Parallel(
                    name,
                    tuple(Upright(f"{name} {number}", ((0.0, name), (1.0, "1"))) for number in range(12)),
                    (Strand(name, (0.5,) * 12, 1.0, best=True), Strand("b", (None, *(0.2,) * 11), 0.0)),
                    note=name,
                ),
            ),
        ),
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same page with one name everywhere: a plain, an evil and a very long one."""
    folder = tmp_path_factory.mktemp("pages")
    album = Album(
        NAMES,
        {0: jpeg("red"), 1: jpeg("green", (20, 120)), 2: jpeg("blue")},
        {(0, 1): jpeg("grey")},
        {3: "it is no longer there"},
    )
    found = {}
    for key, name in (("plain", "cat"), ("markup", MARKUP), ("long", LONG)):
        headline = Headline(name, "75.0%", "66.1% to 82.4%", (("a guess", "50%"),), Scale(0.75, 0.66, 0.82, 0.5))
        page = Page(name, (name, "2 classes"), (headline, headline), (Note(name),), sections(name), name)
        found[key] = folder / f"{key}.html"
        found[key].write_text(draw(page, album), encoding="utf-8")
    return found


@pytest.mark.parametrize("name", ["plain", "markup", "long"])
@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_fits_its_window_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    for dark in (False, True):
        browser.open(pages[name], width, dark=dark)
        assert browser.complaints() == []
        assert browser.asked_for() == []
        assert browser.run("return document.documentElement.scrollWidth") <= width
        paper = browser.run("return getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")
        assert (sum(map(int, paper)) < 200) == dark


def test_names_that_are_markup_are_seen_as_text(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["markup"])
    assert browser.run("return document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert browser.text().count(MARKUP) > 20
    assert browser.run("return document.title") == MARKUP
    browser.run("document.querySelector('[data-open]').click()")
    assert MARKUP in browser.find("#gallery-title")[0].text
    assert f"/photos/{MARKUP}/0.png" in browser.find("#gallery")[0].text
    assert browser.complaints() == []


def test_every_picture_is_drawn_and_what_is_gone_says_so(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plain"])
    shown = browser.run("return [...document.querySelectorAll('main img')].map((img) => [img.naturalWidth, img.alt])")
    assert [width for width, _ in shown] == [120, 120, 20, 120, 120]
    assert all(alt for _, alt in shown)
    assert [each.text for each in browser.find("main .gone")] == ["it is no longer there"]


def test_what_opens_is_reached_and_closed_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plain"])
    opened = []
    browser.run("document.querySelector('#main h1').tabIndex = -1; document.querySelector('#main h1').focus()")
    for _ in range(12):
        browser.press("TAB")
        if browser.run("return 'open' in document.activeElement.dataset"):
            browser.press("ENTER")
            assert browser.run("return document.getElementById('gallery').open")
            opened.append([each.text for each in browser.find("#gallery .path")])
            browser.press("ESCAPE")
            assert not browser.run("return document.getElementById('gallery').open")
    assert opened[:4] == [[NAMES[0]], [" ".join(NAMES[1].split())], [NAMES[3]], [NAMES[2], NAMES[0]]]


def test_points_of_a_map_are_chosen_by_arrows(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plain"])
    browser.run("document.querySelector('.chart svg[tabindex]').focus()")
    browser.press("ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT", "ARROW_LEFT", "ENTER")
    assert [each.text for each in browser.find("#gallery .path")] == [NAMES[3]]
    assert browser.find("#gallery .gone")[0].text == "it is no longer there"
    browser.press("ENTER")  # the button that closes has the focus
    assert not browser.run("return document.getElementById('gallery').open")


def test_lists_sliders_and_heads_of_tables_do_what_they_say(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plain"])
    slider = "const found = document.querySelector('.slider');"
    assert browser.run(f"{slider} return found.querySelector('dd').textContent") == "40.0%"
    browser.run(f"{slider} found.querySelector('input').focus()")
    browser.press("ARROW_RIGHT")
    assert browser.run(f"{slider} return found.querySelector('output').textContent") == "0.90"
    assert browser.run(f"{slider} return found.querySelector('dd').textContent") == "60.0%"
    assert "this is b" not in browser.text()
    browser.run("document.querySelector('.choice select').focus()")
    browser.press("ARROW_DOWN")
    assert "this is b" in browser.text()
    assert not browser.run(f"{slider} return found.checkVisibility()")

    order = "return [...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[0].textContent)"
    browser.run("document.querySelectorAll('.sortable th button')[1].focus()")
    browser.press("ENTER")
    assert browser.run(order) == ["b", "cat", "c"]
    browser.press("ENTER")
    assert browser.run(order) == ["c", "cat", "b"]
    assert browser.complaints() == []
