"""The page of a run as a browser shows it: the figures of report.json, pictures, and what opens them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Browser
from conftest import TINY
from finished_runs import FinishedRun
from ft.config.loading import load_config
from ft.extension.installed import Plugins
from report_pictures import FOLDER, MOST_BYTES, sections_of

MARKUP = "<img src=x onerror=alert(1)>"
CLASSES = (MARKUP, "a [b]", "c")
IN_A_CLASS = 20
WINDOWS = ((360, False), (360, True), (1200, False), (1200, True))


@dataclass(frozen=True)
class Shown:
    """A finished run's page, and what its report.json says."""

    page: Path
    report: dict[str, Any]


def photos(folder: Path) -> None:
    """Images of three colours, of which some are in a wrong folder, and a copy of one, mirrored, in another split."""
    for number in range(IN_A_CLASS * len(CLASSES)):
        label, draw = number % 3, np.random.default_rng(number)
        split = "train" if number < 36 else "val"
        blots = Image.fromarray(draw.integers(0, 90, (6, 6), dtype=np.uint8)).resize((60, 40), Image.Resampling.BICUBIC)
        colour = np.full(3, 40)
        colour[label if number % 11 else (label + 1) % 3] = 160
        image = Image.fromarray((colour + np.asarray(blots)[..., None]).clip(0, 255).astype(np.uint8))
        place = folder / split / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number}.png")
        if number == 3:
            (folder / "val" / CLASSES[0]).mkdir(parents=True)
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "val" / CLASSES[0] / "copy.png")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shown")
    photos(folder / "photos")
    tree = {
        "backbone": f"{TINY}:small",
        "weights": "none",
        "data": str(folder / "photos"),
        "freeze": ["all"],
        "images.size": 16,
        "machine.precision": "fp32",
        "machine.device": "cpu",
        "machine.workers": 0,
        "training.epochs": 3,
        "training.head_lr": 0.05,
        "training.batch_size": 8,
        "run_dir": folder / "run",
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FT_CACHE", str(folder / "cache"))
        run = FinishedRun(load_config(flags=tree), plugins).run.path
        yield Shown(run / "report.html", json.loads((run / "report.json").read_text()))


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_it_fits_its_window_says_nothing_to_the_console_and_asks_for_nothing(
    browser: Browser, shown: Shown, width: int, dark: bool
) -> None:
    browser.open(shown.page, width, dark=dark)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.querySelectorAll('[onerror], img[src=x]').length") == 0
    assert MARKUP in browser.text()
    assert browser.complaints() == []
    assert browser.asked_for() == []


def test_its_figures_are_those_of_the_report(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    val = shown.report["val"]
    values = [each.text for each in browser.find(".headline .value")]
    assert values[:2] == [f"{val['accuracy']:.1%}", f"{val['macro_f1']:.3f}"]
    assert f"Measured on {sum(each['support'] for each in val['classes'])} validation images" in browser.text()
    rows = [each.text for each in browser.find("#by-class table tbody tr")]
    for each in val["classes"]:
        said = f"{each['name']} {each['precision']:.1%} {each['recall']:.1%} {each['f1']:.3f} {each['support']}"
        assert said in [" ".join(row.split()) for row in rows]
    cells = browser.run(
        "return [...document.querySelectorAll('.matrix tbody tr')].map((row) => [...row.querySelectorAll('td')].map("
        "(cell) => Number(cell.textContent)))"
    )
    names = [each["name"] for each in val["classes"]]
    expected = np.zeros((3, 3), int)
    for each in val["confusion"]:
        expected[names.index(each["label"]), names.index(each["predicted"])] = each["images"]
    assert cells == expected.tolist()
    assert f"{shown.report['frozen_parameters']:,} parameters" in browser.text()
    assert shown.report["frozen_digest_after"][:12] in browser.text()


def test_cells_of_the_matrix_open_the_images_behind_them(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    button = "const found = document.querySelector('.matrix td button');"
    said = browser.run(f"{button} found.focus(); return [found.dataset.count, found.dataset.title]")
    browser.press("ENTER")
    assert browser.run("return document.getElementById('gallery').open")
    assert 1 <= len(browser.find("#gallery figure")) <= int(said[0])
    loaded = browser.run(
        "return [...document.querySelectorAll('#gallery img[data-photo]')].map((img) => img.naturalWidth)"
    )
    assert loaded
    assert set(loaded) == {60}
    browser.press("ESCAPE")
    assert not browser.run("return document.getElementById('gallery').open")


def test_mistakes_have_a_map_beside_them_and_the_method_is_said(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    maps = browser.run(
        "return [...document.querySelectorAll('#mistakes img[data-map]')].map((img) => img.naturalWidth)"
    )
    assert maps
    assert all(width == 60 for width in maps)
    assert "Grad-CAM (Selvaraju et al. 2017) at layer2" in browser.find("#mistakes")[0].text


def test_what_features_know_shows_the_copy_first_across_splits(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    section = browser.find("#what-features-know")[0].text
    assert "The same in two splits: 1 pair" in section
    assert "1 pair lies across splits" in section
    assert "mirrored, alike to" in section
    pair = browser.run(
        "return [...document.querySelectorAll('#what-features-know figure')].filter((figure) => "
        "figure.querySelector('.two')).map((figure) => figure.innerText)"
    )
    assert ["copy.png" in each and "3.png" in each for each in pair] == [True]
    assert browser.run("return document.querySelectorAll('#what-features-know circle[data-open]').length") >= 60


def test_the_sheet_shows_an_image_of_every_class_as_the_network_sees_it(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    sides = browser.run(
        "return [...document.querySelectorAll('#data-as-the-network-sees-it img')].map((i) => [i.naturalWidth, "
        "i.naturalHeight])"
    )
    assert sides == [[16, 16]] * 8
    captions = {each.text for each in browser.find("#data-as-the-network-sees-it .said")}
    assert captions == set(CLASSES)


def test_the_documentation_has_a_small_picture_of_each_section_and_of_no_other(browser: Browser, shown: Shown) -> None:
    browser.open(shown.page)
    pictures = {each.stem: each for each in FOLDER.glob("*.webp")}
    assert set(pictures) == {"verdict", *sections_of(browser)}, "make pictures makes them anew"
    assert all(each.stat().st_size <= MOST_BYTES for each in pictures.values())
    page = (FOLDER.parent / "report.md").read_text(encoding="utf-8")
    assert re.findall(r"\(pictures/(.*?)\.webp\)", page) == ["verdict", *sections_of(browser)]
