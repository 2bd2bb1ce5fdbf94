"""The page of a service as a browser shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from browser import Browser
from ft.extension.installed import load_plugins
from ft.inference.load import load_trained
from ft.run.folder import Run
from ft.serving.of_run import served_run
from serving import Client, brightness, image, serving


@pytest.fixture(scope="module")
def client(run_of: Callable[[str], Path]) -> Iterator[Client]:
    run = run_of("classification")
    trained = load_trained(Run(run), load_plugins(), {"device": "cpu", "precision": "fp32"}, 32, trust_code=True)
    with serving(served_run(trained, str(run))) as client:
        yield client


def until(seen: Callable[[], object]) -> None:
    """Wait for something to be seen."""
    end = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def untroubled(browser: Browser, address: str) -> Iterator[None]:
    """A block after which nothing was complained of, and nobody asked but the service."""
    yield
    assert not browser.complaints()
    assert not [each for each in browser.asked_for() if not each.startswith(address)]
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1200, False)])
def test_an_image_is_answered_with_probabilities_and_a_map(
    browser: Browser, client: Client, run_of: Callable[[str], Path], width: int, dark: bool
) -> None:
    browser.visit(client.address, width, dark=dark)
    with untroubled(browser, client.address):
        browser.find("#file")[0].send_keys(str(run_of("classification").parent / "3.png"))
        until(lambda: browser.find(".bars li"))
        content = (run_of("classification").parent / "3.png").read_bytes()
        told = client.post("/explain", content).json()
        likeliest = max(told["probabilities"], key=told["probabilities"].get)
        assert browser.find("#title")[0].text == told["answer"]["1."]
        assert browser.find(".bars bdi")[0].text == likeliest
        until(lambda: browser.run("return [...document.images].every((each) => each.complete && each.naturalWidth)"))
        assert len(browser.find(".views img")) == 2
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == (
            "rgb(22, 24, 27)" if dark else "rgb(253, 252, 250)"
        )


def test_by_keyboard_another_class_is_explained(
    browser: Browser, client: Client, run_of: Callable[[str], Path]
) -> None:
    browser.visit(client.address)
    with untroubled(browser, client.address):
        browser.press("TAB")
        assert browser.run("return document.activeElement.id") == "file"
        browser.find("#file")[0].send_keys(str(run_of("classification").parent / "3.png"))
        until(lambda: browser.run("return document.activeElement.id") == "found")
        browser.press("TAB", "TAB")
        other = browser.find(".bars bdi")[1].text
        assert browser.run("return document.activeElement.querySelector('bdi').textContent") == other
        browser.press("ENTER")
        until(lambda: f"Where “{other}” comes from" in browser.text())
        assert browser.find(".bars button")[1].get_attribute("aria-pressed") == "true"


def test_what_is_no_image_is_told_and_a_model_without_maps_says_so(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    (tmp_path / "b.png").write_bytes(image(100))
    with serving(brightness()) as client:
        browser.visit(client.address, 360)
        browser.find("#file")[0].send_keys(str(tmp_path / "a.png"))
        until(lambda: "cannot read the image a.png: not an image" in browser.text())
        assert all("415" in each for each in browser.complaints())
        with untroubled(browser, client.address):
            browser.find("#file")[0].send_keys(str(tmp_path / "b.png"))
            until(lambda: "No heat map: it has no layers." in browser.text())
            assert browser.find("#title")[0].text == "100"
            assert not browser.find("#said")[0].text
