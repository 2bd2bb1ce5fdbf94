"""Numbers as labels are written: with a point, as 12.5 or 1e-3."""

from __future__ import annotations

import math
import re

from ft import FtError

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9][0-9.]*,[0-9,.]*")


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def number(text: str, what: str) -> float:
    """Read a number. Raises FtError for a text that is none, or none that can be computed with; `what` holds it."""
    plain = text.strip()
    if _NUMBER.fullmatch(plain) and math.isfinite(float(plain)):
        return float(plain)
    if not plain:
        raise FtError(f"{what} is empty; regression needs a number for every image and target")
    if _COMMA.fullmatch(plain):
        raise FtError(f"{what} holds '{text}'; write numbers with a point and nothing else between digits, as 12.5")
    if plain.casefold().lstrip("+-") in ("nan", "inf", "infinity") or _NUMBER.fullmatch(plain):
        raise FtError(f"{what} holds '{text}', which is no finite number; regression needs one for every image")
    raise FtError(
        f"{what} holds '{text}', which is no number; regression learns numbers, as 12.5. Names are learnt with --task "
        "classification, several names an image with --task multilabel"
    )
