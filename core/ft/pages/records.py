"""A whole page as plain data: what stands at its top, its sections, and the images that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ft.extension.sections import Note, Section


@dataclass(frozen=True)
class Scale:
    """Where a share lies between 0 and 1, with the ends of its interval, and what a guess gets, where that is known."""

    value: float
    low: float
    high: float
    guess: float | None = None


@dataclass(frozen=True)
class Headline:
    """A figure in large. `interval` says between which values it lies, `beside` what it is to be compared with: names
    and figures. A share has a `scale`, on which it is drawn."""

    title: str
    value: str
    interval: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    scale: Scale | None = None


@dataclass(frozen=True)
class Page:
    """What one HTML file shows. `about` are short facts below the title, `notes` what has to be known first."""

    title: str
    about: tuple[str, ...]
    headlines: tuple[Headline, ...]
    notes: tuple[Note, ...]
    sections: tuple[Section, ...]
    made: str = ""


@dataclass(frozen=True, eq=False)
class Album:
    """The images that a page names by their numbers: `names` of all of them.

    `photos` are JPEG files of some, `maps` those of where an output, by its number, comes from in an image. `missing`
    says why one that was asked for has no photo. A `note` says why there are none at all, and `about_maps` how maps
    were made, or why there are none.
    """

    names: Sequence[str] = ()
    photos: Mapping[int, bytes] = field(default_factory=dict)
    maps: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    missing: Mapping[int, str] = field(default_factory=dict)
    note: str = ""
    about_maps: str = ""
