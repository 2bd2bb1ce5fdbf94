"""known.json of a run: what features tell of its images, which are numbers of rows in its images.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ft.errors import FtError
from ft.insight.records import Judged, Known, NearCopy, Outlier, Spot, SuspectedLabel

NAME = "known.json"
Said = tuple[str, str, str]
"""The name, split and label of an image."""


@dataclass(frozen=True)
class _Kept:
    """The file: of labels the image, the suggested one and the score; of copies the two images, what was changed and
    the score; of outliers the image and the score; of the first `images` images their places on the map."""

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    images: int
    seconds: float
    labels: tuple[tuple[int, str, float], ...]
    unjudged: str
    judged: Judged | None
    copies: tuple[tuple[int, int, str, float], ...]
    outliers: tuple[tuple[int, float], ...]
    map: tuple[tuple[float, float], ...]


def as_kept(known: Known, names: Sequence[str]) -> dict[str, Any]:
    """What known.json holds of what is known of images with these `names`, in the order of images.csv."""
    place = {name: number for number, name in enumerate(names)}
    return asdict(
        _Kept(
            known.images,
            known.seconds,
            tuple((place[each.path], each.suggested, each.score) for each in known.labels),
            known.unjudged,
            known.judged,
            tuple((place[each.paths[0]], place[each.paths[1]], each.changed, each.score) for each in known.copies),
            tuple((place[each.path], each.score) for each in known.outliers),
            tuple((round(spot.x, 4), round(spot.y, 4)) for spot in known.places),
        )
    )


def from_kept(content: Any, said: Sequence[Said]) -> Known:
    """What is known, of images of which this is `said`, one a row of images.csv. Raises FtError for a file that is not
    of these."""
    try:
        kept = TypeAdapter(_Kept).validate_python(content)
        if min((n for some in _numbers(kept) for n in some), default=0) < 0 or len(kept.map) > len(said):
            raise IndexError
        copies = [(said[one], said[other], changed, score) for one, other, changed, score in kept.copies]
        return Known(
            kept.images,
            0,
            kept.seconds,
            tuple(SuspectedLabel(*said[place], suggested, score) for place, suggested, score in kept.labels),
            kept.unjudged,
            kept.judged,
            tuple(
                NearCopy((a[0], b[0]), (a[1], b[1]), (a[2], b[2]), changed, score) for a, b, changed, score in copies
            ),
            tuple(Outlier(*said[place], score) for place, score in kept.outliers),
            tuple(Spot(*who, x, y) for who, (x, y) in zip(said, kept.map, strict=False)),
        )
    except (ValidationError, IndexError):
        raise FtError(f"{NAME} does not fit the images of images.csv; delete it and write the page anew") from None


def _numbers(kept: _Kept) -> list[tuple[int, ...]]:
    return [
        tuple(place for place, *_ in kept.labels),
        tuple(place for pair in kept.copies for place in pair[:2]),
        tuple(place for place, _ in kept.outliers),
    ]
