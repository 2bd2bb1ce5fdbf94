"""Images whose pixels have more than 8 bits: which values they hold, and which of them become black and white."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Range = tuple[float, float]
"""The values that become 0 and 255."""

_MOST = 65535
"""The highest value of 16 bits."""


@dataclass(frozen=True)
class Values:
    """The values of an image with more than 8 bits: what kind they are of, the lowest and the highest.

    Of "16-bit colour" Pillow brings only the upper eight bits, so no range can be chosen. `finite` says whether all
    values are numbers.
    """

    kind: Literal["integer", "float", "16-bit colour"]
    lowest: float
    highest: float
    finite: bool = True


def deep_values(image: Image.Image) -> NDArray[np.generic] | None:
    """The values [H, W] of a grey image with more than 8 bits; None for any other."""
    return np.asarray(image) if image.mode in ("I", "F") or image.mode.startswith("I;16") else None


def values_of(image: Image.Image, rawmode: str) -> Values | None:
    """What values a decoded image holds, whose pixels lay as `rawmode` in its file; None where they had 8 bits."""
    values = deep_values(image)
    if values is not None:
        return _extremes(values)
    if not re.search(";16[BLN]", rawmode):
        return None
    upper = np.asarray(image.convert("RGB"))
    return Values("16-bit colour", 257.0 * float(upper.min()), 257.0 * float(upper.max()))


def needs_range(values: Values | None) -> bool:
    """Whether it depends on a range of values what becomes of an image: one that is grey, with more than 8 bits."""
    return values is not None and values.kind != "16-bit colour"


def objection_to_values(values: Values, ranged: bool) -> str | None:
    """Why values cannot be brought to 8 bits, where a range is stated or not; None where they can."""
    if not values.finite:
        return "some of its pixels are not finite numbers"
    in_16_bits = values.kind != "float" and values.lowest >= 0 and values.highest <= _MOST
    if ranged or in_16_bits:
        return None
    return (
        f"its pixels are {'floating-point' if values.kind == 'float' else '32-bit'} numbers, from {values.lowest:g} to "
        f"{values.highest:g}; say which of them are black and white, as in --set images.range=[0,1], or find out with "
        "--set images.range=auto"
    )


def to_8_bits(values: NDArray[np.generic], value_range: Range | None) -> NDArray[np.uint8]:
    """Bring values to 0 to 255: those of `value_range`, by default 0 to 65535; what lies outside becomes the nearest.

    Raises ValueError for values that have no range.
    """
    if objection := objection_to_values(_extremes(values), value_range is not None):
        raise ValueError(objection)
    low, high = value_range or (0, _MOST)
    scaled = (values.astype(np.float64) - low) / ((high - low) / 255)
    return np.round(np.clip(scaled, 0, 255)).astype(np.uint8)


def _extremes(values: NDArray[np.generic]) -> Values:
    kind: Literal["integer", "float"] = "float" if values.dtype.kind == "f" else "integer"
    finite = values[np.isfinite(values)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Values(kind, lowest, highest, bool(finite.size == values.size))
