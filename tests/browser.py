"""Chromium without a window, by which tests look at pages as people do: what is seen, and what goes wrong meanwhile.

selenium drives it by the driver that Debian builds together with it. playwright would be 53 MB with a Node.js of its
own, and promises nothing for browsers that it does not bring.
"""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

HOW_TO_GET = "apt-get install chromium chromium-driver (as root; make test does it where it may)"
HARMLESS = ("file:", "data:", "about:", "blob:")
"""Addresses that ask no machine for anything."""
DISK = ("--disk-cache-size=1", "--disable-dev-shm-usage")


class Browser:
    """A browser that shows one page at a time."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver
        self._driver.execute_cdp_cmd("Network.enable", {})

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a page from the disk as a machine without a network shows it, in a window of so many pixels."""
        assert page.is_file(), page
        self._show(page.resolve().as_uri(), (width, height), dark, offline=True)

    def visit(self, address: str, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Open a page of a service on this machine."""
        self._show(address, (width, height), dark, offline=False)

    def _show(self, address: str, size: tuple[int, int], dark: bool, offline: bool) -> None:
        self._logs("browser"), self._logs("performance")  # of what was open before
        said = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", said)
        window = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
        unlimited = 0 if offline else -1
        self._driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": offline, "latency": 0, "downloadThroughput": unlimited, "uploadThroughput": unlimited},
        )
        self._driver.get(address)

    def complaints(self) -> list[str]:
        """What the console says: errors of scripts, and of what the page is not allowed, or cannot load."""
        return [entry["message"] for entry in self._logs("browser")]

    def asked_for(self) -> list[str]:
        """The addresses at other machines that the page asked for, whether or not it got them."""
        events = [json.loads(entry["message"])["message"] for entry in self._logs("performance")]
        sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith(HARMLESS)]

    def find(self, selector: str) -> list[WebElement]:
        """The elements of a CSS selector."""
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body of JavaScript returns, whose `arguments` are these."""
        return self._driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, each at whatever has the focus."""
        for key in keys:
            ActionChains(self._driver).send_keys(getattr(Keys, key, key)).perform()

    def text(self) -> str:
        """All text that is seen."""
        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def screenshot(self, selector: str = "", beyond: int = 0) -> bytes:
        """A PNG of what is in the window, or of the first element of a selector with so many pixels around it."""
        if not selector:
            return bytes(self._driver.get_screenshot_as_png())
        box = self.run(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}",
            selector,
        )
        clip = {
            "x": max(0, box["x"] - beyond),
            "y": max(0, box["y"] - beyond),
            "width": box["width"] + 2 * beyond,
            "height": box["height"] + 2 * beyond,
            "scale": 1,
        }
        shot = self._driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True, "format": "png"}
        )
        return b64decode(shot["data"])

    def _logs(self, kind: str) -> list[dict[str, Any]]:
        return list(self._driver.get_log(kind))


@contextmanager
def browser_open() -> Iterator[Browser]:
    """A block with a browser, which ends with it. Skips the test where there is none, but on a machine of CI."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        said = f"pages are looked at in Chromium, and it is not on this machine: {HOW_TO_GET}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless", "--hide-scrollbars", *DISK, *(["--no-sandbox"] if os.geteuid() == 0 else [])):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("no_proxy", "localhost,127.0.0.1")  # where the driver listens
        chrome = Chrome(options, ChromeService(driver))
        try:
            yield Browser(chrome)
        finally:
            chrome.quit()
