"""What a data set's features tell, as plain data: printed as tables, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SuspectedLabel:
    """A label that may be wrong. `score` is the normalised margin, -1 to 1, the lowest where that is likeliest."""

    path: str
    split: str
    label: str
    suggested: str
    score: float


@dataclass(frozen=True)
class NearCopy:
    """Two images that show the same, of which the second may be `changed`, as in "mirrored"; `score` is how alike their
    details are, at most 1."""

    paths: tuple[str, str]
    splits: tuple[str, str]
    labels: tuple[str, str]
    changed: str
    score: float


@dataclass(frozen=True)
class Outlier:
    """An image unlike the others; `score` is how many robust deviations above the median its neighbours are away."""

    path: str
    split: str
    label: str
    score: float


@dataclass(frozen=True)
class Spot:
    """Where an image lies on the map: its two principal components."""

    path: str
    split: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Judged:
    """How labels were judged: the classes in order, the confident joint by label and class, classes that were left out
    since they have fewer images than there are folds, or all in one fold, how many labels are also what a head that did
    not see the image answers, and the penalty of the heads."""

    classes: tuple[str, ...]
    joint: tuple[tuple[int, ...], ...]
    left_out: tuple[str, ...]
    agreement: float
    penalty: float


@dataclass(frozen=True)
class Known:
    """What features tell of a data set. Where labels are not judged, `unjudged` says why. `computed` is how many images
    the network was run for, `seconds` how long everything after that took."""

    images: int
    computed: int
    seconds: float
    labels: tuple[SuspectedLabel, ...]
    unjudged: str
    judged: Judged | None
    copies: tuple[NearCopy, ...]
    outliers: tuple[Outlier, ...]
    places: tuple[Spot, ...]

    @property
    def found(self) -> int:
        """How many findings there are."""
        return len(self.labels) + len(self.copies) + len(self.outliers)
