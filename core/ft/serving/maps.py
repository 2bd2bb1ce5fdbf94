"""A heat map as an answer carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ft.pages.pictures import data_uri, thumbnail

if TYPE_CHECKING:
    from ft.inference.explanation import Explanation

LONGER_SIDE = 640
"""Pixels of the longer side of an overlay."""


def shown_map(explanation: Explanation) -> dict[str, Any]:
    """The map over its image, and what it says. The image is decoded once more."""
    each = explanation
    return {
        "overlay": data_uri(thumbnail(each.overlay(LONGER_SIDE), LONGER_SIDE)),
        "of": each.of,
        "output": each.output,
        "method": each.said_how,
        "layer": each.layer,
        "box": [*each.box],
        "empty": each.empty,
    }
