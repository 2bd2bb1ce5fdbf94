"""How a finished model is used."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pydantic import AfterValidator, Field

from ft.config.schema import PREDICT_BATCH, MachineConfig

FLIP = "flip"
"""Views of an image that is asked about: it, and its mirrored copy."""
MOST_VIEWS = 64


def views_in(tta: str) -> int:
    """How many views `views:N` is. Raises ValueError for what is neither that nor `flip`.

    >>> views_in("views:8"), views_in("flip")
    (8, 2)
    """
    name, _, number = tta.partition(":")
    if tta != FLIP and (name != "views" or not number.isdecimal() or not 2 <= int(number) <= MOST_VIEWS):
        raise ValueError(f"it is flip, or views:8 for as many views, 2 to {MOST_VIEWS}")
    return int(number or 2)


def _known_views(tta: str) -> str:
    views_in(tta)
    return tta


class UseConfig(MachineConfig):
    """How a finished model is used: the keywords of `ft.load`, the flags of `ft predict` and `ft evaluate`."""

    batch_size: int = Field(PREDICT_BATCH, ge=1)
    tta: Annotated[str, AfterValidator(_known_views)] | None = Field(
        None,
        examples=["flip"],
        description="answer to several views of each image, averaged: flip, it and its mirrored copy; views:8, it and "
        "seven replayed by the run's augmentation",
    )


class OnMachine(TypedDict, total=False):
    """Where and how a loaded model computes."""

    device: str
    precision: Literal["auto", "fp32", "bf16"]
    workers: int | Literal["auto"]
