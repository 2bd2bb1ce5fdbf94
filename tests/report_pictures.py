"""Makes the pictures of docs/report.md: a picture of each section of a run's page, and of its top.

    python tests/report_pictures.py RUN

`make pictures` trains the demo's run for that. They are made by hand, when the page looks otherwise; a test says when a
section has no picture, or a picture no section.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from browser import Browser, browser_open

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH, TALLEST = 1000, 760
"""Pixels of the window, and of the highest picture: of a long section the beginning."""
MOST_BYTES = 150_000


def sections_of(browser: Browser) -> list[str]:
    """The names by which links find the sections of the page that is open."""
    return [str(each) for each in browser.run("return [...document.querySelectorAll('main section')].map((s) => s.id)")]


def main(run: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        old.unlink()
    with browser_open() as browser:
        browser.open(run / "report.html", WIDTH)
        for rule in ("section { padding-top: .5rem }", "section::before { display: none }"):
            browser.run(
                "document.styleSheets[0].insertRule(arguments[0], document.styleSheets[0].cssRules.length)", rule
            )
        write(browser.screenshot("header", 20), "verdict")
        for name in sections_of(browser):
            write(browser.screenshot(f"#{name}", 8), name)


def write(png: bytes, name: str) -> None:
    """Write a picture, as good as its bound in bytes allows."""
    image = Image.open(BytesIO(png)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, TALLEST)))
    for quality in range(85, 20, -10):
        written = BytesIO()
        image.save(written, "WEBP", quality=quality, method=6)
        if len(written.getvalue()) <= MOST_BYTES:
            break
    (FOLDER / f"{name}.webp").write_bytes(written.getvalue())
    print(f"{name}.webp: {image.width} x {image.height} px, {len(written.getvalue()) / 1000:.0f} kB, quality {quality}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
