"""demo: drawings of four shapes, made once and kept in ft's cache folder, so that ft can be tried without data."""

from __future__ import annotations

import math
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw
from pydantic import Field

import ft
from ft import FtError, Sample

VERSION = 1  # of the drawings: a change to any pixel is a new version

Point = tuple[float, float]


class Settings(ft.Settings):
    images_per_class: int = Field(80, ge=2, le=10_000, description="images of each of the four classes")
    size: int = Field(80, ge=32, le=512, description="side of the square images, in pixels")
    seed: int = Field(0, ge=0, description="another seed makes other drawings")


def load(argument: str | None, settings: Settings) -> Iterator[Sample]:
    """Yield the drawings, after making them if the cache folder lacks them. Raises FtError if it cannot be written."""
    if argument:
        raise FtError(f"demo takes no argument ('{argument}'); its settings are given as in --set data.seed=1")
    cache = _cache_folder()
    folder = cache / f"demo-{VERSION}-{settings.images_per_class}x{settings.size}px-seed{settings.seed}"
    if not folder.is_dir():
        try:
            _publish(folder, settings)
        except OSError as error:
            raise FtError(
                f"cannot write the demo images to {cache}: {error}. Name another folder in the variable FT_CACHE"
            ) from error
    for label in SHAPES:
        for number in range(settings.images_per_class):
            yield Sample(folder / label / f"{number:04}.png", label)


def _cache_folder() -> Path:
    own = os.environ.get("FT_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ft")
    folder = os.path.expanduser(own)
    if folder.startswith("~"):
        raise FtError(f"there is no home directory, which {own} begins with; name another folder in FT_CACHE")
    return Path(folder)


def _publish(folder: Path, settings: Settings) -> None:
    """Draw aside and rename, so that `folder` is whole whenever it exists, however many processes do this at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        for label in SHAPES:
            (aside / label).mkdir()
            for number in range(settings.images_per_class):
                image = draw(label, settings.size, random.Random(f"{settings.seed} {label} {number}"))
                image.save(aside / label / f"{number:04}.png")
        aside.chmod(0o755)  # mkdtemp made it for its owner only
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was quicker with the same drawings
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def draw(label: str, size: int, rng: random.Random) -> Image.Image:
    """Draw one shape anywhere, at any angle, in any colour, over clutter and under noise."""
    scale = 2  # drawn larger and reduced, for smooth edges
    side = size * scale
    background = _colour(rng)
    image = Image.new("RGB", (side, side), background)
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.randrange(3, 8)):
        ends = [(rng.uniform(0, side), rng.uniform(0, side)) for _ in range(2)]
        canvas.line(ends, fill=_colour(rng), width=rng.randrange(1, 3) * scale)
    radius = rng.uniform(0.18, 0.36) * side
    centre = (rng.uniform(radius, side - radius), rng.uniform(radius, side - radius))
    canvas.polygon(_placed(SHAPES[label], centre, radius, rng.uniform(0, math.tau)), fill=_apart(background, rng))
    small = image.resize((size, size), Image.Resampling.BOX)
    noise = Image.frombytes("RGB", (size, size), rng.randbytes(3 * size * size))
    return Image.blend(small, noise, rng.uniform(0.05, 0.35))


def _regular(corners: int) -> list[Point]:
    return [(math.cos(math.tau * i / corners), math.sin(math.tau * i / corners)) for i in range(corners)]


_ARM = 0.3
SHAPES: dict[str, list[Point]] = {
    "circle": _regular(48),
    "cross": [
        (1, _ARM), (_ARM, _ARM), (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM),
        (-1, -_ARM), (-_ARM, -_ARM), (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM),
    ],
    "square": _regular(4),
    "triangle": _regular(3),
}  # fmt: skip


def _placed(shape: list[Point], centre: Point, radius: float, angle: float) -> list[Point]:
    cos, sin = radius * math.cos(angle), radius * math.sin(angle)
    return [(centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y) for x, y in shape]


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _apart(other: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    """A colour that can be told from `other`."""
    while True:
        colour = _colour(rng)
        if sum(abs(a - b) for a, b in zip(colour, other, strict=True)) > 150:
            return colour
