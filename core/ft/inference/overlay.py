"""A map of where a network looked, drawn over the picture that it looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ft.data.geometry import Part

Floats = NDArray[np.float32]
_DIMMED = 0.55
"""How bright the grey picture is."""
_OUTSIDE = 0.5
"""How much of that is left where the network saw nothing."""
_OPAQUE = 0.8
"""How much the colour of the highest heat hides of the picture."""
_HUES = (300.0, 460.0)
_LIGHTNESS = (0.30, 0.95)
_CHROMA = 0.17
_FRAME = (170, 170, 170)


def draw_overlay(picture: Image.Image, heat: Floats, part: Part) -> Image.Image:
    """The picture in dimmed grey, and over it heat [H, W] of 0 to 1 as colours, from violet by red to yellow; what lies
    around the `part` of it that has heat is darker, and framed."""
    grey = np.asarray(picture.convert("L"), np.float32)[..., None] * _DIMMED
    left, top, right, bottom = part.inside(picture.height, picture.width)
    shade = np.full(grey.shape, _OUTSIDE, np.float32)
    shade[top:bottom, left:right] = 1
    cover = (_OPAQUE * heat**0.75)[..., None]
    mixed = grey * shade * (1 - cover) + _colours()[(heat * 255).round().astype(np.uint8)] * cover
    drawn = Image.fromarray(mixed.round().astype(np.uint8))
    if (left, top, right, bottom) != (0, 0, picture.width, picture.height):
        ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME)
    return drawn


def _colours() -> Floats:
    """256 colours of sRGB, 0 to 255 [256, 3], whose lightness grows evenly in Oklab (Ottosson 2020), so that equal
    steps of heat look equal, also in grey."""
    step = np.linspace(0, 1, 256)
    lightness = _LIGHTNESS[0] + step * (_LIGHTNESS[1] - _LIGHTNESS[0])
    hue = np.radians(_HUES[0] + step * (_HUES[1] - _HUES[0]))
    lab = np.stack([lightness, _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)])
    cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = (to_rgb @ (cones @ lab) ** 3).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * encoded.T).astype(np.float32)
